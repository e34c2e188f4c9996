"""Less work in a guided step, and what it costs in quality: ways that were tried and that the pack does not take.

    python -m tests.benchmarks.levers --task v2a --clips 64       quality on the pocket models, the scoreboard's judges
    python -m tests.benchmarks.levers --flops                     FLOPs of a guided step at real size, 10 s of audio

"no vocoder": the binder is fed from the decoded log-mel, by a map fitted by least squares to what it hears of the vocoder's sound
in the same run, at the first guided steps; no vocoder after that. "half": gradients of the VAE for one half of the sound at each
step, in turns. "both" of them. "small": videos are decoded at half their side, from pooled latents.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from seeing_core import tasks
from seeing_core.binders.base import Embedded
from seeing_core.binders.fbank import fbank
from seeing_core.binders.imagebind_inputs import MEL_BINS, MEL_FRAMES, MEL_MEAN, MEL_STD
from seeing_core.guidance.clips import AudioView, VideoView
from seeing_core.guidance.loop import Preview
from seeing_core.guidance.settings import AUDIO_PRESETS, VIDEO_PRESETS
from seeing_core.media.resample import resample_differentiable
from tests.benchmarks import scenes
from tests.benchmarks.scenes import STEPS
from tests.benchmarks.scoreboard import Case, Row, measure, real_features, summary, table
from tests.pocket.world import TEST_SEEDS

FITTED = 2  # guided steps, at which the map is fitted
RIDGE = 1e-2
FRAMES_HZ = 100  # of both log-mels


@dataclass(frozen=True)
class WithoutVocoder(AudioView):
    """The same view, fed from the log-mel once its map is known.  sums: of its least squares so far, by window."""

    sums: dict[int, list[Any]] = field(default_factory=dict)

    def embed(self, decoded: Tensor, parts: Sequence[int], window: int) -> tuple[Embedded, Preview]:
        log_mel = decoded[:, parts.index(window)]
        if not log_mel.requires_grad:  # of drafts and of what is only looked at
            return super().embed(decoded, parts, window)
        known, (squares, products) = self.sums.get(window, [0, (0.0, 0.0)])
        inputs = pad(log_mel, (0, 1), value=1.0)  # (B, T, 65)
        if known < FITTED:
            with torch.no_grad():
                waveform = self.generator.waveform(log_mel, window).mean(1)
                samples = resample_differentiable(waveform, self.generator.rate_hz, self.binder.rate_hz)
                heard = fbank(samples - samples.mean(-1, keepdim=True), bins=MEL_BINS, rate_hz=self.binder.rate_hz)
                rows = inputs[:, : heard.shape[1]].flatten(0, 1)
                squares, products = squares + rows.T @ rows, products + rows.T @ heard[:, : inputs.shape[1]].flatten(0, 1)
                self.sums[window] = [known + 1, (squares, products)]
        ridge = RIDGE * torch.eye(len(squares), dtype=inputs.dtype, device=inputs.device)
        heard = inputs @ torch.linalg.solve(squares + ridge, products)  # (B, T, 128)
        cut = [heard[:, round(a * FRAMES_HZ) :][:, : round((b - a) * FRAMES_HZ) - 2] for a, b in self._clips(window)]
        mels = torch.stack([pad(one, (0, 0, 0, MEL_FRAMES - one.shape[1])) for one in cut], 1)
        mels = ((mels.transpose(-1, -2) - MEL_MEAN) / MEL_STD).unsqueeze(2)  # (B, S, 1, 128, 204)
        embedded = self.binder._forward("audio", mels.flatten(0, 1)).unflatten(0, mels.shape[:2])
        return Embedded(embedded), Preview("audio", log_mel.detach().flatten(1), FRAMES_HZ)


@dataclass(frozen=True)
class Halves(AudioView):
    """The same view; gradients pass through one half of the sound at a time.  turns: how often it has been decoded."""

    turns: list[int] = field(default_factory=lambda: [0])

    def decode(self, x0: Tensor, parts: Sequence[int]) -> Tensor:
        [window] = self.generator.windows  # short sounds: the halves of a long one would be its windows
        middle, second = window.stop // 2, self.turns[0] % 2
        self.turns[0] += x0.requires_grad
        halves = [x0[:, :, :middle], x0[:, :, middle:]]
        halves[1 - second] = halves[1 - second].detach()
        return torch.cat([self.generator.model.decode_mel(half) for half in halves], 1)[:, None]


@dataclass(frozen=True)
class HalvesWithoutVocoder(Halves, WithoutVocoder):
    """Both."""


@dataclass(frozen=True)
class Small(VideoView):
    """The same view of a video at half its side."""

    def decode(self, x0: Tensor, parts: Sequence[int]) -> Tensor:
        pooled = avg_pool2d(x0.transpose(1, 2).flatten(0, 1), 2).unflatten(0, (len(x0), -1)).transpose(1, 2)
        return self.generator.decode(pooled, parts)


GUIDED = {  # by the binder, which guides sounds no more in `balanced`
    "v2a": replace(AUDIO_PRESETS["balanced"], strength=4.0, guide_every=2, drafts=28, draft_fraction=0.0),
    "a2v": VIDEO_PRESETS["balanced"],
}
LEVERS: dict[str, dict[str, type]] = {
    "v2a": {"as it is": AudioView, "no vocoder": WithoutVocoder, "half": Halves, "both": HalvesWithoutVocoder},
    "a2v": {"as it is": VideoView, "small": Small},
}


@contextmanager
def pulled(task: str, lever: str) -> Iterator[None]:
    """Within, tasks and scenes look through this view."""
    name = "AudioView" if task == "v2a" else "VideoView"
    own = [(module, getattr(module, name)) for module in (tasks, scenes)]
    for module, _ in own:
        setattr(module, name, LEVERS[task][lever])
    try:
        yield
    finally:
        for module, view in own:
            setattr(module, name, view)


def made_with(job: tuple[str, str, Case, Sequence[int]]) -> list[Row]:
    task, lever, case, seeds = job
    with pulled(task, lever):
        return measure((case, seeds))


def quality(task: str, levers: Sequence[str], clips: int, first_seed: int) -> list[Row]:
    """These levers on the same clips: a vague prompt, and no phrase for what is seen or heard."""
    jobs = [
        (task, lever, Case(task, lever, GUIDED[task], "vague", True, STEPS[task], "imagebind"), [seed])
        for lever in levers
        for seed in range(first_seed, first_seed + clips)
    ]
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return [row for rows in pool.map(made_with, jobs) for row in rows]


def flops() -> None:
    """Of a guided step at real size, by part; without a vocoder once the map is known."""
    from tests.benchmarks.sizes import real

    models = real()
    for task, levers in LEVERS.items():
        settings = GUIDED[task]
        for lever in levers:
            with pulled(task, lever):
                one = scenes.scene(task, models, settings)
                for _ in range(FITTED):
                    one.step(settings)
                cost = one.cost(settings)
            shown = " ".join(f"{part} {work / 1e12:.2f}" for part, work in cost.flops.items())
            print(f"{task} {lever}: {cost.total / 1e12:.2f} TFLOP: {shown}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", choices=LEVERS, default="v2a")
    options.add_argument("--lever", nargs="+", help="of the task's; by default all")
    options.add_argument("--clips", type=int, default=64)
    options.add_argument("--first-seed", type=int, default=TEST_SEEDS)
    options.add_argument("--flops", action="store_true")
    options.add_argument("--out", type=Path, help="a JSON file with every row")
    chosen = options.parse_args()
    if chosen.flops:
        flops()
        return
    levers = chosen.lever or list(LEVERS[chosen.task])
    rows = quality(chosen.task, levers, chosen.clips, chosen.first_seed)
    real = real_features(chosen.task, chosen.clips, chosen.first_seed)
    print(table(chosen.task, [summary(rows, lever, real) for lever in levers]))
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
