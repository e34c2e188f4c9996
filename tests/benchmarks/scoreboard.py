"""The scoreboard: each way of aligning, on fresh clips of the pocket world, judged by signal processing alone.

    python -m tests.benchmarks.scoreboard                      all tasks, 64 clips each
    python -m tests.benchmarks.scoreboard --task v2a --clips 24 --way vanilla paper

The judges never see the binder that guides. "right": the share of results whose kind the judge names correctly, with its
95 % bootstrap interval. "distance": Fréchet distance of the judge's features to those of as many real clips. "events":
median distance in time from an event of the clip to the nearest one heard. "fit": the binder's own similarity, which
guidance optimises and which therefore proves nothing. "seconds": per clip, on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seeing_core.aligner import Progress, sample
from seeing_core.audio.audioldm import AudioTask
from seeing_core.losses import Target
from seeing_core.media import Clip
from seeing_core.objectives import FitTargets
from seeing_core.pocket import MODELS_DIR
from seeing_core.pocket.judge_picture import picture_features
from seeing_core.pocket.judges import (
    frechet_distance, judge_picture_kind, judge_sound_kind, picture_event_times, sound_event_times, sound_features,
)
from seeing_core.pocket.world import TEST_SEEDS, WorldClip, make_clip
from seeing_core.settings import SOUND_PRESETS, AlignSettings
from seeing_core.targets import Stills, embed_media
from seeing_core.tasks import span_groups
from seeing_core.video.animatediff import VideoTask
from seeing_core.views import PictureView, SoundView
from seeing_core.weights import load_animatediff, load_audioldm, load_imagebind

DURATION_S = 2.0
BATCH = 8  # clips sampled together, each towards its own targets: results do not depend on it, time does
STEPS = {"v2a": 30, "i2a": 30, "a2v": 25}
PROMPT = AlignSettings(strength=0.0, prompt_strength=1.0, start_fraction=0.0)
WAYS: dict[str, AlignSettings] = {
    "vanilla": AlignSettings(strength=0.0),
    "paper": AlignSettings("paper"),
    "gradient": AlignSettings("gradient"),
    "x0": AlignSettings("x0"),
    "unet": AlignSettings("unet", start_fraction=0.0, end_fraction=0.7),
    "prompt": PROMPT,
    "balanced": SOUND_PRESETS["balanced"],
}


@dataclass(frozen=True)
class Row:
    """One result.  judged: its kind.  features: the judge's.  fit: binder similarity to the other medium at the end."""

    way: str
    seed: int
    kind: str
    judged: str
    event_error_s: float
    features: list[float]
    fit: float
    seconds: float


def measure(job: tuple[str, str, str, AlignSettings, Sequence[int]]) -> list[Row]:
    """A batch of clips, one way: (task, way, caption level, settings, seeds)."""
    task_name, way, caption, settings, seeds = job
    clips = [make_clip(seed, DURATION_S) for seed in seeds]
    prompts = [{"precise": c.caption, "partial": c.partial_caption, "ambiguous": c.ambiguous_caption}[caption]
               for c in clips]
    started = time.perf_counter()
    task, objective = (a2v if task_name == "a2v" else to_audio)(clips, prompts, settings, still=task_name == "i2a")
    fits: list[Tensor] = []

    def report(progress: Progress) -> None:
        if progress.evaluation:
            fits.append(1 - next(value for name, value in progress.evaluation.terms.items() if name != "text"))

    [z] = sample([task], objective, settings, seeds=seeds, steps=STEPS[task_name], report=report)
    outputs = task.decode(z)
    seconds = (time.perf_counter() - started) / len(clips)
    fit = fits[-1].tolist() if fits else [float("nan")] * len(clips)
    judge = judged_film if task_name == "a2v" else judged_sound
    return [Row(way, clip.seed, clip.kind, *judge(clip, output), own, seconds)
            for clip, output, own in zip(clips, outputs, fit, strict=True)]


def to_audio(
    clips: Sequence[WorldClip], prompts: Sequence[str], settings: AlignSettings, *, still: bool
) -> tuple[AudioTask, FitTargets]:
    """V2A and I2A as in seeing_core.tasks, for several clips at once: embeddings are (B, D)."""
    model, binder = _models("audioldm")
    task = AudioTask(model, model.embed_prompt(prompts), model.embed_prompt([""]), DURATION_S)
    spans = binder.clip_spans(DURATION_S)
    seen = [embed_media(binder, Stills(clip.frames[len(clip.frames) // 2][None])) if still
            else binder.embed_film(Clip(clip.frames, clip.fps), spans).mean(0) for clip in clips]
    targets = [Target("vision", torch.stack(seen), settings.vision_weight),
               Target("text", binder.embed_text(prompts), settings.text_weight)]
    return task, FitTargets(SoundView.of(task, binder), [targets])


def a2v(
    clips: Sequence[WorldClip], prompts: Sequence[str], settings: AlignSettings, *, still: bool
) -> tuple[VideoTask, FitTargets]:
    model, binder = _models("animatediff")
    side = model.native_side
    task = VideoTask(model, model.embed_prompt(prompts), model.embed_prompt([""]), round(DURATION_S * 8), 8.0, side, side)
    [spans] = span_groups(binder, DURATION_S)
    heard = binder.embed_sound(torch.stack([clip.samples for clip in clips]), spans).mean(1).detach()
    targets = [Target("audio", heard, settings.audio_weight),
               Target("text", binder.embed_text(prompts), settings.text_weight)]
    return task, FitTargets(PictureView.of(task, binder, [spans]), [targets])


def judged_sound(clip: WorldClip, samples: Tensor) -> tuple[str, float, list[float]]:
    """Kind, median event error in seconds, features."""
    return judge_sound_kind(samples)[0], _event_error_s(clip, sound_event_times(samples)), sound_features(samples).tolist()


def judged_film(clip: WorldClip, frames: Tensor) -> tuple[str, float, list[float]]:
    errors = _event_error_s(clip, picture_event_times(frames, 8.0))
    return judge_picture_kind(frames)[0], errors, torch.cat(picture_features(frames)).tolist()


def _models(family: str, loaded: dict[str, Any] = {}) -> tuple[Any, Any]:  # noqa: B006 - one load per worker process
    if "binder" not in loaded:
        loaded["binder"] = load_imagebind(MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors")
    if family not in loaded:
        folder = MODELS_DIR / family
        loaded[family] = (load_audioldm(folder) if family == "audioldm"
                          else load_animatediff(folder / "sd", folder / "motion_adapter"))
    return loaded[family], loaded["binder"]


def _event_error_s(clip: WorldClip, found: Sequence[float]) -> float:
    """Median time from an event of the clip to the nearest one found, in seconds; NaN when there is none."""
    if not found:
        return float("nan")
    return float(np.median([min(abs(time_s - other) for other in found) for time_s in clip.event_times_s]))


def interval(values: Sequence[float], rounds: int = 2000) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval, NaN left out."""
    kept = np.array([value for value in values if not np.isnan(value)])
    if len(kept) == 0:
        return (float("nan"),) * 3
    draws = np.random.default_rng(0).choice(kept, (rounds, len(kept))).mean(1)
    return float(kept.mean()), float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def run(
    task: str, ways: dict[str, AlignSettings], *, clips: int, caption: str = "ambiguous", first_seed: int = TEST_SEEDS,
    workers: int | None = None,
) -> list[Row]:
    """All clips in all ways, spread over the cores."""
    starts = range(first_seed, first_seed + clips, BATCH)
    jobs = [(task, way, caption, settings, range(start, min(start + BATCH, first_seed + clips)))
            for way, settings in ways.items() for start in starts]
    workers = workers or os.cpu_count() or 1
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return [row for rows in pool.map(measure, jobs) for row in rows]


def summary(rows: Sequence[Row], way: str, real: Tensor) -> dict[str, Any]:
    own = [row for row in rows if row.way == way]
    right, low, high = interval([float(row.judged == row.kind) for row in own])
    return {
        "way": way, "clips": len(own), "right": right, "right_low": low, "right_high": high,
        "distance": frechet_distance(torch.tensor([row.features for row in own]), real),
        "event_error_s": interval([row.event_error_s for row in own])[0], "fit": interval([row.fit for row in own])[0],
        "seconds": interval([row.seconds for row in own])[0],
    }


def real_features(task: str, clips: int, first_seed: int) -> Tensor:
    """Judge features (n, d) of real clips that no result was made for."""
    judge = judged_film if task == "a2v" else judged_sound
    made = [make_clip(seed, DURATION_S) for seed in range(first_seed + 100_000, first_seed + 100_000 + max(clips, 64))]
    return torch.tensor([judge(clip, clip.frames if task == "a2v" else clip.samples)[2] for clip in made])


def table(task: str, summaries: Sequence[dict[str, Any]]) -> str:
    lines = [f"| {task} | right | 95 % | distance | events | fit | seconds |", "|---|---|---|---|---|---|---|"]
    for s in summaries:
        lines.append(f"| {s['way']} | {s['right']:.0%} | {s['right_low']:.0%} to {s['right_high']:.0%} | "
                     f"{s['distance']:.2f} | {1000 * s['event_error_s']:.0f} ms | {s['fit']:.2f} | {s['seconds']:.1f} |")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", nargs="+", choices=STEPS, default=list(STEPS))
    options.add_argument("--way", nargs="+", choices=WAYS, default=list(WAYS))
    options.add_argument("--clips", type=int, default=64)
    options.add_argument("--caption", choices=("ambiguous", "partial", "precise"), default="ambiguous")
    options.add_argument("--first-seed", type=int, default=TEST_SEEDS, help="test seeds; searches use others")
    options.add_argument("--strength", type=float, help="instead of each way's own latent strength")
    options.add_argument("--prompt-strength", type=float, help="instead of each way's own prompt tuning strength")
    options.add_argument("--out", type=Path, help="a JSON file with every row")
    chosen = options.parse_args()
    given = {name: value for name in ("strength", "prompt_strength") if (value := getattr(chosen, name)) is not None}
    ways = {way: replace(WAYS[way], **given) for way in chosen.way}
    rows: dict[str, list[Row]] = {}
    for task in chosen.task:
        real = real_features(task, chosen.clips, chosen.first_seed)
        rows[task] = run(task, ways, clips=chosen.clips, caption=chosen.caption, first_seed=chosen.first_seed)
        print(table(task, [summary(rows[task], way, real) for way in ways]), flush=True)
    if chosen.out:
        chosen.out.write_text(json.dumps({task: [asdict(row) for row in own] for task, own in rows.items()}))


if __name__ == "__main__":
    main()
