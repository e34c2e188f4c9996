"""The best of several candidates first, by measures that the aligner did not optimise: nothing is thrown away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from .media.types import Video, Waveform
from .metrics.fit import AVFit, format_score, measure_fit
from .metrics.motion import measure_motion
from .metrics.ranking import rank
from .run import TaskResult
from .tasks import SILENCE

CLIPPED, CLIPPED_SHARE = 0.999, 0.01
FLAT = 0.5  # spectral flatness: 1 is white noise


def rank_candidates(
    result: TaskResult,
    *,
    video: Video | None = None,
    audio: Waveform | None = None,
    motion_callback: Callable[[int, int], None] = lambda done, total: None,
) -> TaskResult:
    """The result with its candidates in order, best first, and a note of their seeds' order in its trace.

    video, audio: what the task was given, where it was. Candidates are ranked by AV-Align, one to one, where there are both
    media; sounds that are broken (silent, clipped, mere noise) come last. motion_callback: as in RunConfig, for each video.
    """
    count = max(len(result.waveforms), len(result.videos))
    if count < 2:
        return result
    broken = [bool(audio_defects(one)) for one in result.waveforms] or [False] * count
    videos: Sequence[Video] = result.videos or ([video] * count if video else [])
    waveforms: Sequence[Waveform] = result.waveforms or ([audio] * count if audio else [])
    fits: list[AVFit] = []
    if videos and waveforms:
        measured = result.motion or [measure_motion(one, callback=motion_callback) for one in result.videos or videos[:1]]
        motions = measured if len(measured) == count else list(measured) * count
        fits = [measure_fit(*pair) for pair in zip(videos, waveforms, motions, strict=True)]
    order = sorted(rank(fits).order if fits else range(count), key=lambda i: broken[i])  # stable
    scores = ", ".join(f"{i + 1} ({_score(fits[i] if fits else None, broken[i])})" for i in order)
    notes = (*result.trace.notes, f"candidates, best first, counted from the seed: {scores}")
    return replace(
        result,
        trace=replace(result.trace, notes=notes),
        waveforms=tuple(result.waveforms[i] for i in order if result.waveforms),
        videos=tuple(result.videos[i] for i in order if result.videos),
    )


def audio_defects(waveform: Waveform) -> list[str]:
    """What is broken in a sound: "silent", "clipped", "noise". Signal processing only."""
    samples = waveform.samples.mean(0)
    if samples.abs().max() < SILENCE:
        return ["silent"]
    spectrum = torch.stft(samples, 1024, window=torch.hann_window(1024, device=samples.device), return_complex=True).abs()
    power = spectrum.square().mean(-1) + 1e-12
    found = []
    if (samples.abs() > CLIPPED).float().mean() > CLIPPED_SHARE:
        found.append("clipped")
    if power.log().mean().exp() / power.mean() > FLAT:
        found.append("noise")
    return found


def _score(fit: AVFit | None, broken: bool) -> str:
    words = "not measured" if fit is None else f"AV-Align {format_score(fit.one_to_one.score, 2)}"
    return f"{words}, broken" if broken else words
