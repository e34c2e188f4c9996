"""The scoreboard: each way of aligning, on fresh clips of the pocket world, judged by signal processing alone.

    python -m tests.benchmarks.scoreboard                      all tasks, unguided and guided, 64 clips each
    python -m tests.benchmarks.scoreboard --task v2a --clips 24 --way vanilla paper

The judges never see the binder that guides. "right": the share of results whose kind the judge names correctly (joint: the
share whose film and sound are of one kind), with its 95 % bootstrap interval. "distance": Fréchet distance of the judge's
features to those of as many real clips. "AV-Align": one to one, and in the paper's form. "events": the median distance in
time from an event of the given medium (joint: of the film) to the nearest one made. "lag": mean size of the lag, where its
correlation means anything. "flicker": how much the film's brightness changes from frame to frame, in percent of white.
"fit": the binder's own similarity, which guidance optimises and which therefore proves nothing. "seconds": of processor time
per clip.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seeing_core.guidance.loop import Objective, sample
from seeing_core.guidance.assembly import video_objective, joint_objective, sound_objective, sound_view
from seeing_core.generators.audioldm import ConditionedAudioLDM
from seeing_core.guidance.prompt_completion import complete_prompt, draw_phrase
from seeing_core.guidance.old_losses import Target
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.metrics.fit import WEAK_CORRELATION, measure_fit
from seeing_core.metrics.interval import mean_interval
from seeing_core.metrics.motion import measure_motion
from seeing_core.metrics.onsets import find_onsets
from seeing_core.pocket import MODELS_DIR
from tests.pocket.judge_picture import picture_features
from tests.pocket.judges import (
    frechet_distance, judge_video_kind, judge_sound_kind, picture_event_times, sound_event_times, sound_features,
)
from tests.pocket.world import TEST_SEEDS, WorldClip, make_clip
from seeing_core.guidance.settings import AlignSettings
from seeing_core.guidance.targets import Images, embed_media
from seeing_core.tasks import span_groups
from seeing_core.guidance.sync import motion_peaks
from seeing_core.generators.animatediff import ConditionedAnimateDiff
from seeing_core.weights import load_animatediff, load_audioldm, load_imagebind
from tests.benchmarks.scenes import PRESETS, STEPS

DURATION_S, FPS, RATE_HZ = 2.0, 8.0, 16000
BATCH = 2  # clips sampled together, each towards its own targets: results do not depend on it, time does
VANILLA = {"vanilla": AlignSettings(strength=0.0)}
WORDS = {"words alone": AlignSettings(strength=0.0, words=True)}
WAYS: dict[str, dict[str, AlignSettings]] = {
    task: VANILLA | WORDS | presets | {"balanced, no words": replace(presets["balanced"], words=False)}
    for task, presets in PRESETS.items()
}
SHOWN = ("vanilla", "paper", "balanced")  # unguided, the paper's rule, and what the task's node does by default


@dataclass(frozen=True)
class Row:
    """One result.

    kind, judged: of the clip and of what was made; for "joint" of the film and of the sound that were made.
    event_errors_s: from each event of the given medium to the nearest one made.  av_align: one to one.  av_align_paper: the
    paper's form.  lag_s: its size, None where the correlation means nothing.
    flicker: mean change of the film's brightness from one frame to the next, 0 to 1.
    fit: binder similarity of sound and picture.  features: the judge's. All of the finished result.
    """

    way: str
    seed: int
    kind: str
    judged: str
    event_errors_s: list[float]
    av_align: float | None
    av_align_paper: float | None
    lag_s: float | None
    flicker: float
    fit: float
    features: list[float]
    seconds: float


def measure(job: tuple[str, str, str, AlignSettings, int, Sequence[int]]) -> list[Row]:
    """A batch of clips, one way: (task, way, caption level, settings, denoise steps, seeds)."""
    task_name, way, caption, settings, steps, seeds = job
    clips = [make_clip(seed, DURATION_S) for seed in seeds]
    prompts = [{"precise": c.caption, "partial": c.partial_caption, "ambiguous": c.ambiguous_caption}[caption]
               for c in clips]
    started = time.process_time()
    tasks, objective = PREPARE[task_name](clips, prompts, settings)
    latents = sample(tasks, objective, settings, seeds=seeds, steps=steps, report=lambda progress: None)
    outputs = {task.medium: task.decode(z) for task, z in zip(tasks, latents, strict=True)}
    seconds = (time.process_time() - started) / len(clips)
    videos = outputs.get("picture", [clip.frames for clip in clips])
    waveforms = outputs.get("sound", [clip.samples for clip in clips])
    return [judged(task_name, way, clip, video, sound, seconds)
            for clip, video, sound in zip(clips, videos, waveforms, strict=True)]


def judged(task: str, way: str, clip: WorldClip, frames: Tensor, samples: Tensor, seconds: float) -> Row:
    """frames (T, 3, H, W), samples (n,): what the task made or was given."""
    film_kind, sound_kind = judge_video_kind(frames)[0], judge_sound_kind(samples)[0]
    kind, made_kind = {"a2v": (clip.kind, film_kind), "joint": (film_kind, sound_kind)}.get(task, (clip.kind, sound_kind))
    seen_s = list(clip.event_times_s) if task in ("v2a", "i2a") else picture_event_times(frames, FPS)
    heard_s = list(clip.event_times_s) if task == "a2v" else sound_event_times(samples)
    video = VideoFrames(frames, FPS)
    fit = measure_fit(video, Waveform(samples[None], RATE_HZ), measure_motion(video), binder=_models("binder"))
    lag = fit.lag
    believable = lag.lag_s is not None and (lag.correlation or 0) > WEAK_CORRELATION
    given_s, made_s = (heard_s, seen_s) if task == "a2v" else (seen_s, heard_s)
    return Row(
        way, clip.seed, kind, made_kind, _apart_s(given_s, made_s),
        fit.one_to_one.score, fit.paper.score, abs(lag.lag_s) if believable else None,
        float(frames.mean((1, 2, 3)).diff().abs().mean()), fit.binder.av,
        features(task, frames, samples), seconds)


def features(task: str, frames: Tensor, samples: Tensor) -> list[float]:
    """The judge's features of what the task makes; the hue as a point on the colour circle."""
    parts = [] if task == "a2v" else [sound_features(samples)]
    if task in ("a2v", "joint"):
        hue_deg, outline = picture_features(frames)
        parts += [torch.deg2rad(hue_deg).cos()[None], torch.deg2rad(hue_deg).sin()[None], outline]
    return torch.cat(parts).tolist()


def to_audio(
    clips: Sequence[WorldClip], prompts: Sequence[str], settings: AlignSettings, *, still: bool = False
) -> tuple[list[ConditionedAudioLDM], Objective]:
    """V2A and I2A as in seeing_core.tasks, for several clips at once: embeddings are (B, D)."""
    binder = _models("binder")
    segments = binder.clip_segments(DURATION_S)
    seen = torch.stack([embed_media(binder, Images(clip.frames[len(clip.frames) // 2][None])).expand(len(segments), -1) if still
                        else binder.embed_video(VideoFrames(clip.frames, clip.fps), segments) for clip in clips])  # (B, S, D)
    if settings.words:
        prompts = [complete_prompt(binder, prompt, own) for prompt, own in zip(prompts, seen.mean(1), strict=True)]
    task = _audio_task(prompts)
    targets = [Target("vision", seen.mean(1), settings.vision_weight, seen),
               Target("text", binder.embed_text(prompts), settings.text_weight)]
    times_s = [[] if still else motion_peaks(measure_motion(VideoFrames(clip.frames, clip.fps))) for clip in clips]
    return [task], sound_objective(sound_view(task, binder, settings), [targets], settings, times_s)


def to_video(
    clips: Sequence[WorldClip], prompts: Sequence[str], settings: AlignSettings
) -> tuple[list[ConditionedAnimateDiff], Objective]:
    """A2V likewise."""
    binder = _models("binder")
    [segments] = span_groups(binder, DURATION_S)
    heard = binder.embed_audio(torch.stack([clip.samples for clip in clips]), segments).detach()  # (B, S, D)
    if settings.words:
        prompts = [complete_prompt(binder, prompt, own) for prompt, own in zip(prompts, heard.mean(1), strict=True)]
    task = _video_task(prompts)
    targets = [Target("audio", heard.mean(1), settings.audio_weight, heard),
               Target("text", binder.embed_text(prompts), settings.text_weight)]
    times_s = [find_onsets(Waveform(clip.samples[None], RATE_HZ)).peaks_s.tolist() for clip in clips]
    return [task], video_objective(task, binder, [segments], [targets], settings, times_s)


def to_both(
    clips: Sequence[WorldClip], prompts: Sequence[str], settings: AlignSettings
) -> tuple[list[ConditionedAnimateDiff | ConditionedAudioLDM], Objective]:
    """Joint-VA likewise; of the clips only the captions are used."""
    binder = _models("binder")
    if settings.words:
        prompts = [draw_phrase(binder, prompt, clip.seed) for prompt, clip in zip(prompts, clips, strict=True)]
    video, sound = _video_task(prompts), _audio_task(prompts)
    return [video, sound], joint_objective(video, sound, binder, binder.embed_text(prompts), settings,
                                          text_weight=settings.text_weight)


PREPARE = {"v2a": to_audio, "i2a": partial(to_audio, still=True), "a2v": to_video, "joint": to_both}


def _audio_task(prompts: Sequence[str]) -> ConditionedAudioLDM:
    model = _models("audioldm")
    return ConditionedAudioLDM(model, model.embed_prompt(prompts), model.embed_prompt([""]), DURATION_S)


def _video_task(prompts: Sequence[str]) -> ConditionedAnimateDiff:
    model = _models("animatediff")
    side = model.native_side
    return ConditionedAnimateDiff(model, model.embed_prompt(prompts), model.embed_prompt([""]), round(DURATION_S * FPS), FPS, side, side)


@cache
def _models(family: str) -> Any:
    """Loaded once per worker process."""
    folder = MODELS_DIR / family
    if family == "binder":
        return load_imagebind(MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors")
    return load_audioldm(folder) if family == "audioldm" else load_animatediff(folder / "sd", folder / "motion_adapter")


def _apart_s(wanted: Sequence[float], found: Sequence[float]) -> list[float]:
    """Seconds from each wanted event to the nearest one found; the whole clip when there is none."""
    return [min((abs(time_s - other) for other in found), default=DURATION_S) for time_s in wanted]


def run(
    task: str, ways: dict[str, AlignSettings], *, clips: int, caption: str = "ambiguous", first_seed: int = TEST_SEEDS,
    steps: int | None = None, workers: int | None = None,
) -> list[Row]:
    """All clips in all ways, spread over the cores.  steps: by default the task's usual ones."""
    starts = range(first_seed, first_seed + clips, BATCH)
    steps = steps or STEPS[task]
    jobs = [(task, way, caption, settings, steps, range(start, min(start + BATCH, first_seed + clips)))
            for way, settings in ways.items() for start in starts]
    workers = workers or os.cpu_count() or 1
    # Compiles librosa's loops once: workers that did it at the same time would spoil each other's files.
    find_onsets(Waveform(torch.zeros(1, RATE_HZ), RATE_HZ))
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return [row for rows in pool.map(measure, jobs) for row in rows]


def summary(rows: Sequence[Row], way: str, real: Tensor) -> dict[str, Any]:
    own = [row for row in rows if row.way == way]
    right = mean_interval([float(row.judged == row.kind) for row in own])
    return {
        "way": way, "clips": len(own), "right": right.mean, "right_low": right.low, "right_high": right.high,
        "distance": frechet_distance(torch.tensor([row.features for row in own]), real),
        "event_error_s": float(np.median([error for row in own for error in row.event_errors_s])),
    } | {name: mean_interval([getattr(row, name) for row in own]).mean
         for name in ("av_align", "av_align_paper", "lag_s", "flicker", "fit", "seconds")}


def real_features(task: str, clips: int, first_seed: int) -> Tensor:
    """Judge features (n, d) of real clips that no result was made for."""
    made = [make_clip(seed, DURATION_S) for seed in range(first_seed + 100_000, first_seed + 100_000 + max(clips, 64))]
    return torch.tensor([features(task, clip.frames, clip.samples) for clip in made])


def table(task: str, summaries: Sequence[dict[str, Any]]) -> str:
    lines = [f"| {task} | right | 95 % | distance | AV-Align | paper's | events | lag | flicker | fit | seconds |",
             "|" + "---|" * 11]
    for s in summaries:
        lines.append(f"| {s['way']} | {s['right']:.0%} | {s['right_low']:.0%} to {s['right_high']:.0%} | "
                     f"{s['distance']:.2f} | {s['av_align']:.2f} | {s['av_align_paper']:.2f} | "
                     f"{1000 * s['event_error_s']:.0f} ms | {1000 * s['lag_s']:.0f} ms | "
                     f"{s['flicker']:.1%} | {s['fit']:.2f} | {s['seconds']:.1f} |")
    return "\n".join(lines)


def figure(task: str, summaries: Sequence[dict[str, Any]], path: Path) -> None:
    """Right kind against distance from real ones, with intervals; beside it, how well events coincide."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 3.4), layout="constrained")
    quality, timing = drawn.subplots(1, 2, width_ratios=(3, 2))
    for s in summaries:
        spread = [[s["right"] - s["right_low"]], [s["right_high"] - s["right"]]]
        quality.errorbar(s["distance"], s["right"], yerr=spread, fmt="o", capsize=3)
        quality.annotate(s["way"], (s["distance"], s["right"]), xytext=(6, 4), textcoords="offset points")
    quality.margins(x=0.2)
    quality.set(xlabel="distance to real ones (smaller is better)", ylabel="right kind", ylim=(-0.03, 1.08), title=task)
    timing.barh([s["way"] for s in summaries], [s["av_align"] for s in summaries], color="tab:gray")
    timing.set(xlabel="AV-Align, one to one", xlim=(0, 1), title="in time")
    timing.invert_yaxis()
    drawn.savefig(path, dpi=110)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", nargs="+", choices=STEPS, default=list(STEPS))
    options.add_argument("--way", nargs="+", help="by default those of SHOWN; all of them: see WAYS")
    options.add_argument("--clips", type=int, default=64)
    options.add_argument("--caption", choices=("ambiguous", "partial", "precise"), default="ambiguous")
    options.add_argument("--first-seed", type=int, default=TEST_SEEDS, help="test seeds; searches use others")
    options.add_argument("--steps", type=int, help="instead of each task's own")
    options.add_argument("--strength", type=float, help="instead of each way's own latent strength")
    options.add_argument("--prompt-strength", type=float, help="instead of each way's own prompt tuning strength")
    options.add_argument("--out", type=Path, help="a JSON file with every row")
    options.add_argument("--figure", type=Path, help="a picture of the last task's table")
    chosen = options.parse_args()
    given = {name: value for name in ("strength", "prompt_strength") if (value := getattr(chosen, name)) is not None}
    rows: dict[str, list[Row]] = {}
    for task in chosen.task:
        ways = {way: replace(WAYS[task][way], **given) for way in chosen.way or SHOWN}
        real = real_features(task, chosen.clips, chosen.first_seed)
        rows[task] = run(task, ways, clips=chosen.clips, caption=chosen.caption, first_seed=chosen.first_seed,
                         steps=chosen.steps)
        summaries = [summary(rows[task], way, real) for way in ways]
        print(table(task, summaries), flush=True)
        if chosen.figure:
            figure(task, summaries, chosen.figure)
    if chosen.out:
        chosen.out.write_text(json.dumps({task: [asdict(row) for row in own] for task, own in rows.items()}))


if __name__ == "__main__":
    main()
