"""The best of several candidates first, by measures that the aligner did not optimise: nothing is thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from .media.types import Video, Waveform
from .metrics.fit import AVFit, measure_fits, format_score
from .metrics.ranking import rank
from .tasks import SILENCE, TaskResult

CLIPPED, CLIPPED_SHARE = 0.999, 0.01
FLAT = 0.5  # spectral flatness: 1 is white noise


def rank_candidates(result: TaskResult, *, video: Video | None = None, sound: Waveform | None = None) -> TaskResult:
    """The result with its candidates in order, best first, and a note of their seeds' order in its trace.

    film, sound: what the task was given, where it was. Candidates are ranked by AV-Align, one to one, where there are both
    media; sounds that are broken (silent, clipped, mere noise) come last.
    """
    count = max(len(result.waveforms), len(result.videos))
    if count < 2:
        return result
    videos: Sequence[Video | None] = result.videos or [video] * count
    waveforms: Sequence[Waveform | None] = result.waveforms or [sound] * count
    broken = [one is not None and bool(audio_defects(one)) for one in result.waveforms or [None] * count]
    fits: Sequence[AVFit | None] = [None] * count
    order: Sequence[int] = range(count)
    if None not in videos and None not in waveforms:
        fits = measure_fits(list(zip(videos, waveforms, strict=True)))  # type: ignore[arg-type]
        order = rank(fits).order  # type: ignore[arg-type]
    order = sorted(order, key=lambda i: broken[i])  # stable
    scores = ", ".join(f"{i + 1} ({_score(fits[i], broken[i])})" for i in order)
    notes = (*result.trace.notes, f"candidates, best first, counted from the seed: {scores}")
    return TaskResult(replace(result.trace, notes=notes), tuple(result.waveforms[i] for i in order if result.waveforms),
                  tuple(result.videos[i] for i in order if result.videos))


def audio_defects(sound: Waveform) -> list[str]:
    """What is broken in a sound: "silent", "clipped", "noise". Signal processing only."""
    samples = sound.samples.mean(0)
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
