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
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seeing_core.media import Clip
from seeing_core.pocket import MODELS_DIR
from seeing_core.pocket.judge_scores import frechet_distance
from seeing_core.pocket.judges import judge_sound_kind, sound_event_times, sound_features
from seeing_core.pocket.world import TEST_SEEDS, WorldClip, make_clip
from seeing_core.settings import AlignSettings
from seeing_core.tasks import Run, image_to_audio, video_to_audio
from seeing_core.weights import load_audioldm, load_imagebind

DURATION_S = 2.0
STEPS = 30
WAYS: dict[str, AlignSettings] = {
    "vanilla": AlignSettings(strength=0.0),
    "paper": AlignSettings("paper"),
    "gradient": AlignSettings("gradient"),
    "x0": AlignSettings("x0"),
    "unet": AlignSettings("unet", end_fraction=0.7, start_fraction=0.0),
    "prompt": AlignSettings(strength=0.0, prompt_strength=1.0, start_fraction=0.0),
    "unet + prompt": AlignSettings("unet", prompt_strength=1.0, start_fraction=0.0, end_fraction=0.7),
}


@dataclass(frozen=True)
class Row:
    """One result.  features: the judge's, as a list.  fit: mean binder similarity at the last guided step."""

    way: str
    seed: int
    kind: str
    heard: str
    event_error_s: float
    features: list[float]
    fit: float
    seconds: float


def measure(job: tuple[str, str, str, AlignSettings, int]) -> Row:
    """One clip, one way: (task, way, caption level, settings, seed)."""
    task, way, caption, settings, seed = job
    clip = make_clip(seed, DURATION_S)
    started = time.perf_counter()
    samples, fit = TASKS[task](clip, _caption(clip, caption), settings)
    seconds = time.perf_counter() - started
    return Row(way, seed, clip.kind, judge_sound_kind(samples)[0], _event_error_s(clip, samples),
               sound_features(samples).tolist(), fit, seconds)


def _caption(clip: WorldClip, level: str) -> str:
    return {"precise": clip.caption, "partial": clip.partial_caption, "ambiguous": clip.ambiguous_caption}[level]


def sound_for_video(clip: WorldClip, prompt: str, settings: AlignSettings) -> tuple[Tensor, float]:
    film = Clip(clip.frames, clip.fps)
    return _heard(video_to_audio(*_models(), film, Run([clip.seed], STEPS, settings), prompt=prompt))


def sound_for_image(clip: WorldClip, prompt: str, settings: AlignSettings) -> tuple[Tensor, float]:
    picture = clip.frames[len(clip.frames) // 2][None]
    return _heard(image_to_audio(*_models(), picture, Run([clip.seed], STEPS, settings), prompt=prompt,
                                 duration_s=DURATION_S))


TASKS: dict[str, Callable[[WorldClip, str, AlignSettings], tuple[Tensor, float]]] = {
    "v2a": sound_for_video, "i2a": sound_for_image,
}


def _heard(result: Any) -> tuple[Tensor, float]:
    fit = 1 - result.trace.points[-1].terms["vision"] if result.trace.points else float("nan")
    return result.sounds[0].samples[0], fit


def _models(loaded: list[Any] = []) -> list[Any]:  # noqa: B006 - one load per worker process
    if not loaded:
        loaded += [load_audioldm(MODELS_DIR / "audioldm"),
                   load_imagebind(MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors")]
    return loaded


def _event_error_s(clip: WorldClip, samples: Tensor) -> float:
    """Median time from an event of the clip to the nearest onset heard, in seconds; NaN when nothing is heard."""
    found = sound_event_times(samples)
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
    jobs = [(task, way, caption, settings, seed) for way, settings in ways.items()
            for seed in range(first_seed, first_seed + clips)]
    workers = workers or os.cpu_count() or 1
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return list(pool.map(measure, jobs))


def summary(rows: Sequence[Row], way: str, real: Tensor) -> dict[str, Any]:
    own = [row for row in rows if row.way == way]
    right, low, high = interval([float(row.heard == row.kind) for row in own])
    return {
        "way": way, "clips": len(own), "right": right, "right_low": low, "right_high": high,
        "distance": frechet_distance(torch.tensor([row.features for row in own]), real),
        "event_error_s": interval([row.event_error_s for row in own])[0], "fit": interval([row.fit for row in own])[0],
        "seconds": interval([row.seconds for row in own])[0],
    }


def real_features(clips: int, first_seed: int) -> Tensor:
    """Judge features (n, d) of real sounds that no result was made for."""
    seeds = range(first_seed + 100_000, first_seed + 100_000 + max(clips, 64))
    return torch.stack([sound_features(make_clip(seed, DURATION_S).samples) for seed in seeds])


def table(task: str, summaries: Sequence[dict[str, Any]]) -> str:
    lines = [f"| {task} | right | 95 % | distance | events | fit | seconds |", "|---|---|---|---|---|---|---|"]
    for s in summaries:
        lines.append(f"| {s['way']} | {s['right']:.0%} | {s['right_low']:.0%} to {s['right_high']:.0%} | "
                     f"{s['distance']:.2f} | {1000 * s['event_error_s']:.0f} ms | {s['fit']:.2f} | {s['seconds']:.1f} |")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
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
    real = real_features(chosen.clips, chosen.first_seed)
    rows: dict[str, list[Row]] = {}
    for task in chosen.task:
        rows[task] = run(task, ways, clips=chosen.clips, caption=chosen.caption, first_seed=chosen.first_seed)
        print(table(task, [summary(rows[task], way, real) for way in ways]), flush=True)
    if chosen.out:
        chosen.out.write_text(json.dumps({task: [asdict(row) for row in own] for task, own in rows.items()}))


if __name__ == "__main__":
    main()
