"""The scoreboard: the four tasks with each preset, on fresh clips of the pocket world, judged by signal processing alone.

    python -m tests.benchmarks.scoreboard                      all tasks, unguided and guided, 64 clips each
    python -m tests.benchmarks.scoreboard --task v2a --caption contrary --preset unguided words balanced paper --unnamed --out FILE

Captions: "empty"; "vague" ("something making a sound"); "partial", a clue; "precise", of the clip's own kind; "contrary", precisely
another kind. --unnamed takes the phrases that name the clip's own kind out of the binder's vocabulary, as if nobody had thought of
it. What runs is `seeing_core.tasks`, the same functions that the nodes call. The judges never see the binder that guides. "right":
the share of results whose kind the judge names correctly (joint: the share whose video and sound are of one kind; "contrary": the
share that are of the prompt's kind), with its 95 % bootstrap interval. "distance": Fréchet distance of the judge's features to those of real clips. "events": the median distance in time from an event of the given medium (joint: of the video) to the nearest
one made, and "F1" of those within 50 ms. "AV-Align": one to one, and in the paper's form; it takes its moments from the optical flow
that the sync term uses too, so guidance has seen that judge. "lag": mean size of the lag, where its correlation means anything. "flicker": how much the video's brightness changes
from frame to frame, in percent of white. "size": correlation of how large the object is seen and the pitch that is heard; "force": of how
it moves and how loud it is (of the given medium the truth, of the made one what the judges read). "fit" and "fit PE-AV": similarity of sound and picture to the pocket ImageBind and PE-AV: of the
one that guides (--binder) it proves nothing, since guidance raises it; the other one has not been asked before. "seconds": of processor time per clip.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seeing_core.binders.base import Binder
from seeing_core.guidance.settings import UNGUIDED, AlignSettings
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.metrics.binder_scores import binder_scores
from seeing_core.metrics.fit import WEAK_CORRELATION, measure_fit
from seeing_core.metrics.frechet import frechet_distance, gaussian_of
from seeing_core.metrics.interval import mean_interval
from seeing_core.metrics.motion import measure_motion
from seeing_core.metrics.onsets import find_onsets
from seeing_core.tasks import (
    RunConfig,
    TaskResult,
    audio_to_video,
    image_to_audio,
    video_and_audio,
    video_to_audio,
)
from tests.benchmarks.scenes import PRESETS, STEPS
from tests.benchmarks.sizes import POCKET_BINDERS, Models, pocket
from tests.pocket.judge_picture import picture_features
from tests.pocket.judges import (
    event_match,
    heard_force,
    heard_size,
    judge_sound_kind,
    judge_video_kind,
    picture_event_times,
    seen_force,
    seen_size,
    sound_event_times,
    sound_features,
)
from tests.pocket.world import TEST_SEEDS, WorldClip, make_clip, plan_scene, scene_captions
from tests.pocket.world_kinds import KIND_NAMES, KINDS, kind_index, precise_captions

DURATION_S, FPS, RATE_HZ = 2.0, 8.0, 16000
BATCH = 2  # clips made together: results do not depend on it, time does
CAPTIONS: dict[str, Callable[[WorldClip], str]] = {
    "empty": lambda clip: "",
    "vague": lambda clip: clip.ambiguous_caption,
    "partial": lambda clip: clip.partial_caption,
    "precise": lambda clip: clip.caption,
    "contrary": lambda clip: contrary(clip)[1],
}
WAYS: dict[str, dict[str, AlignSettings]] = {
    task: {"unguided": UNGUIDED, "words": replace(UNGUIDED, complete_prompt="always")}
    | presets
    | {
        f"balanced, {how}": replace(presets["balanced"], complete_prompt=choice)
        for how, choice in (("words always", "always"), ("no words", "never"))
    }
    for task, presets in PRESETS.items()
}
SHOWN = ("unguided", "words", "paper", "balanced")  # balanced: what the task's node does by default


@dataclass(frozen=True)
class Row:
    """One result.

    kind, judged: that asked for and that made; for "joint" of the video and of the sound that were made.
    event_errors_s: from each event of the given medium to the nearest one made.  event_f1: of events matched within 50 ms.
    av_align: one to one.  av_align_paper: the
    paper's form.  lag_s: its size, None where the correlation means nothing.
    flicker: mean change of the video's brightness from one frame to the next, 0 to 1.
    traits_given, traits_made: size and force, 0..1; for "joint" as seen and as heard.
    fit, fit_pe_av: similarity of sound and picture to the pocket ImageBind and to the pocket PE-AV.  features: the judge's. All of the finished result.
    """

    preset: str
    seed: int
    kind: str
    judged: str
    event_errors_s: list[float]
    event_f1: float
    av_align: float | None
    av_align_paper: float | None
    lag_s: float | None
    flicker: float
    traits_given: tuple[float, float]
    traits_made: tuple[float, float]
    fit: float
    fit_pe_av: float
    features: list[float]
    seconds: float


@dataclass(frozen=True)
class Case:
    """How a row is made.  steps: denoise steps.  binder: which pocket binder guides."""

    task: str
    preset: str
    settings: AlignSettings
    caption: str
    unnamed: bool
    steps: int
    binder: str


def measure(job: tuple[Case, Sequence[int]]) -> list[Row]:
    """A batch of clips, by their seeds."""
    case, seeds = job
    clips = [make_clip(seed, DURATION_S) for seed in seeds]
    models = _models(case.binder)
    if case.unnamed:
        models = models._replace(binder=unnamed(models.binder, [clip.kind for clip in clips]))
    run = RunConfig(seeds, case.steps, case.settings)
    started = time.process_time()
    made = make(case.task, models, clips, [CAPTIONS[case.caption](clip) for clip in clips], run)
    seconds = (time.process_time() - started) / len(clips)
    videos = [one.pixels for one in made.videos] or [clip.frames for clip in clips]
    waveforms = [one.samples[0] for one in made.waveforms] or [clip.samples for clip in clips]
    rows = [
        judged(case.task, case.preset, clip, frames, samples, seconds)
        for clip, frames, samples in zip(clips, videos, waveforms, strict=True)
    ]
    if case.caption == "contrary" and case.task != "joint":
        rows = [replace(row, kind=contrary(clip)[0]) for row, clip in zip(rows, clips, strict=True)]
    return rows


def contrary(clip: WorldClip) -> tuple[str, str]:
    """Another kind than the clip's, and a precise caption of it; the clip's seed decides which."""
    kinds = [kind for kind in KIND_NAMES if kind != clip.kind]
    kind = kinds[clip.seed % len(kinds)]
    return kind, scene_captions(plan_scene(clip.seed, DURATION_S, kind))[0]


def unnamed(binder: Binder, kinds: Sequence[str]) -> Binder:
    """The same binder without the phrases that name these kinds."""
    named = {phrase for kind in kinds for phrase in precise_captions(KINDS[kind_index(kind)])}
    without = copy(binder)
    without.vocabulary = tuple(phrase for phrase in binder.vocabulary if phrase not in named)
    return without


def make(task: str, models: Models, clips: Sequence[WorldClip], prompts: Sequence[str], run: RunConfig) -> TaskResult:
    """One result for each clip and its prompt. Of the clips, I2A gets the middle frame, and joint nothing."""
    if task == "v2a":
        videos = [VideoFrames(clip.frames, clip.fps) for clip in clips]
        return video_to_audio(models.audio, models.binder, videos, run, prompt=prompts, duration_s=DURATION_S)
    if task == "i2a":
        images = [clip.frames[len(clip.frames) // 2][None] for clip in clips]
        return image_to_audio(models.audio, models.binder, images, run, prompt=prompts, duration_s=DURATION_S)
    if task == "a2v":
        waveforms = [Waveform(clip.samples[None], RATE_HZ) for clip in clips]
        return audio_to_video(models.video, models.binder, waveforms, run, prompt=prompts, fps=FPS)
    return video_and_audio(models.video, models.audio, models.binder, run, prompt=prompts, duration_s=DURATION_S, fps=FPS)


def judged(task: str, preset: str, clip: WorldClip, frames: Tensor, samples: Tensor, seconds: float) -> Row:
    """frames (T, 3, H, W), samples (n,): what the task made or was given."""
    video_kind, sound_kind = judge_video_kind(frames)[0], judge_sound_kind(samples)[0]
    kind, made_kind = {"a2v": (clip.kind, video_kind), "joint": (video_kind, sound_kind)}.get(task, (clip.kind, sound_kind))
    seen_s = list(clip.event_times_s) if task in ("v2a", "i2a") else picture_event_times(frames, FPS)
    heard_s = list(clip.event_times_s) if task == "a2v" else sound_event_times(samples)
    seen = (seen_size(frames, video_kind), seen_force(frames, video_kind))
    heard = (heard_size(samples, sound_kind), heard_force(samples, sound_kind))
    truth = (clip.traits.size, clip.traits.force)
    video = VideoFrames(frames, FPS)
    sound = Waveform(samples[None], RATE_HZ)
    fit = measure_fit(video, sound, measure_motion(video))
    lag = fit.lag
    believable = lag.lag_s is not None and (lag.correlation or 0) > WEAK_CORRELATION
    given_s, made_s = (heard_s, seen_s) if task == "a2v" else (seen_s, heard_s)
    return Row(
        preset,
        clip.seed,
        kind,
        made_kind,
        _apart_s(given_s, made_s),
        event_match(made_s, given_s, tolerance_s=0.05),
        fit.one_to_one.score,
        fit.paper.score,
        abs(lag.lag_s) if believable else None,
        float(frames.mean((1, 2, 3)).diff().abs().mean()),
        seen if task == "joint" else truth,
        seen if task == "a2v" else heard,
        *(binder_scores(_models(name).binder, video, sound).av for name in POCKET_BINDERS),
        features(task, frames, samples),
        seconds,
    )


def features(task: str, frames: Tensor, samples: Tensor) -> list[float]:
    """The judge's features of what the task makes; the hue as a point on the colour circle."""
    parts = [] if task == "a2v" else [sound_features(samples)]
    if task in ("a2v", "joint"):
        hue_deg, outline = picture_features(frames)
        parts += [torch.deg2rad(hue_deg).cos()[None], torch.deg2rad(hue_deg).sin()[None], outline]
    return torch.cat(parts).tolist()


@cache
def _models(binder: str) -> Models:
    """Loaded once per worker process."""
    return pocket(binder)


def _apart_s(wanted: Sequence[float], found: Sequence[float]) -> list[float]:
    """Seconds from each wanted event to the nearest one found; the whole clip when there is none."""
    return [min((abs(time_s - other) for other in found), default=DURATION_S) for time_s in wanted]


def run(
    task: str,
    presets: dict[str, AlignSettings],
    *,
    clips: int,
    caption: str = "vague",
    unnamed: bool = False,
    first_seed: int = TEST_SEEDS,
    steps: int | None = None,
    binder: str = "imagebind",
    workers: int | None = None,
) -> list[Row]:
    """All clips with all presets, spread over the cores, or with one worker here.  steps: by default the task's usual ones."""
    batch = 1 if unnamed else BATCH  # a vocabulary is the whole batch's
    jobs = [
        (
            Case(task, preset, settings, caption, unnamed, steps or STEPS[task], binder),
            range(start, min(start + batch, first_seed + clips)),
        )
        for preset, settings in presets.items()
        for start in range(first_seed, first_seed + clips, batch)
    ]
    workers = workers or os.cpu_count() or 1
    # Compiles librosa's loops once: workers that did it at the same time would spoil each other's files.
    find_onsets(Waveform(torch.zeros(1, RATE_HZ), RATE_HZ))
    if workers == 1:
        return [row for job in jobs for row in measure(job)]
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return [row for rows in pool.map(measure, jobs) for row in rows]


def summary(rows: Sequence[Row], preset: str, real: Tensor) -> dict[str, Any]:
    own = [row for row in rows if row.preset == preset]
    right = mean_interval([float(row.judged == row.kind) for row in own])
    return {
        "preset": preset,
        "clips": len(own),
        "right": right.mean,
        "right_low": right.low,
        "right_high": right.high,
        "distance": frechet_distance(gaussian_of(torch.tensor([row.features for row in own])), gaussian_of(real)),
        "event_error_s": float(np.median([error for row in own for error in row.event_errors_s])),
        "size": correlation([(row.traits_given[0], row.traits_made[0]) for row in own]),
        "force": correlation([(row.traits_given[1], row.traits_made[1]) for row in own]),
    } | {
        name: mean_interval([getattr(row, name) for row in own]).mean
        for name in ("event_f1", "av_align", "av_align_paper", "lag_s", "flicker", "fit", "fit_pe_av", "seconds")
    }


def correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Of given and made, by ranks: one sound far from all does not decide."""
    from scipy.stats import spearmanr

    return float(spearmanr(pairs).statistic)


def real_features(task: str, clips: int, first_seed: int) -> Tensor:
    """Judge features (n, d) of real clips that no result was made for."""
    made = [make_clip(seed, DURATION_S) for seed in range(first_seed + 100_000, first_seed + 100_000 + max(clips, 64))]
    return torch.tensor([features(task, clip.frames, clip.samples) for clip in made])


def table(task: str, summaries: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"| {task} | right | 95 % | distance | events | F1 | AV-Align | paper's | lag | flicker | size | force | fit | fit PE-AV | seconds |",
        "|" + "---|" * 15,
    ]
    for s in summaries:
        lines.append(
            f"| {s['preset']} | {s['right']:.0%} | {s['right_low']:.0%} to {s['right_high']:.0%} | "
            f"{s['distance']:.2f} | {1000 * s['event_error_s']:.0f} ms | {s['event_f1']:.2f} | "
            f"{s['av_align']:.2f} | {s['av_align_paper']:.2f} | {1000 * s['lag_s']:.0f} ms | "
            f"{s['flicker']:.1%} | {s['size']:.2f} | {s['force']:.2f} | {s['fit']:.2f} | {s['fit_pe_av']:.2f} | {s['seconds']:.1f} |"
        )
    return "\n".join(lines)


def figure(task: str, summaries: Sequence[dict[str, Any]], path: Path) -> None:
    """Right kind against distance from real ones, with intervals; beside it, how well events coincide."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 3.4), layout="constrained")
    quality, timing = drawn.subplots(1, 2, width_ratios=(3, 2))
    for s in summaries:
        spread = [[s["right"] - s["right_low"]], [s["right_high"] - s["right"]]]
        quality.errorbar(s["distance"], s["right"], yerr=spread, fmt="o", capsize=3)
        quality.annotate(s["preset"], (s["distance"], s["right"]), xytext=(6, 4), textcoords="offset points")
    quality.margins(x=0.2)
    quality.set(xlabel="distance to real ones (smaller is better)", ylabel="right kind", ylim=(-0.03, 1.08), title=task)
    timing.barh([s["preset"] for s in summaries], [s["av_align"] for s in summaries], color="tab:gray")
    timing.set(xlabel="AV-Align, one to one", xlim=(0, 1), title="in time")
    timing.invert_yaxis()
    drawn.savefig(path, dpi=110)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", nargs="+", choices=STEPS, default=list(STEPS))
    options.add_argument("--preset", nargs="+", help="by default those of SHOWN; all of them: see WAYS")
    options.add_argument("--clips", type=int, default=64)
    options.add_argument("--caption", choices=CAPTIONS, default="vague")
    options.add_argument("--unnamed", action="store_true", help="without the phrases that name the clip's own kind")
    options.add_argument("--binder", choices=POCKET_BINDERS, default="imagebind", help="which pocket binder guides")
    options.add_argument("--moments", type=float, help="instead of each preset's own moment weight")
    options.add_argument("--sync", type=float, help="instead of each preset's own sync weight")
    options.add_argument("--first-seed", type=int, default=TEST_SEEDS, help="test seeds; searches use others")
    options.add_argument("--steps", type=int, help="instead of each task's own")
    options.add_argument("--strength", type=float, help="instead of each preset's own latent strength")
    options.add_argument("--prompt-strength", type=float, help="instead of each preset's own prompt tuning strength")
    options.add_argument(
        "--out", type=Path, help="a JSON file with, for each task, which binder guided, the summaries and every row"
    )
    options.add_argument("--figure", type=Path, help="a picture of the last task's table")
    chosen = options.parse_args()
    fields = {"strength": "strength", "prompt_strength": "prompt_strength", "moments": "moment_weight", "sync": "sync_weight"}
    given = {field: value for name, field in fields.items() if (value := getattr(chosen, name)) is not None}
    found: dict[str, dict[str, Any]] = {}
    for task in chosen.task:
        presets = {preset: replace(WAYS[task][preset], **given) for preset in chosen.preset or SHOWN}
        real = real_features(task, chosen.clips, chosen.first_seed)
        rows = run(
            task,
            presets,
            clips=chosen.clips,
            caption=chosen.caption,
            unnamed=chosen.unnamed,
            first_seed=chosen.first_seed,
            steps=chosen.steps,
            binder=chosen.binder,
        )
        summaries = [summary(rows, preset, real) for preset in presets]
        found[task] = {"binder": chosen.binder, "summaries": summaries, "rows": [asdict(row) for row in rows]}
        print(table(task, summaries), flush=True)
        if chosen.figure:
            figure(task, summaries, chosen.figure)
    if chosen.out:
        chosen.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
