"""The tasks, each from media in to media out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .aligner import Evaluation, Progress, sample
from .audio.audioldm import AudioLDM, AudioTask
from .binders import Binder, Span
from .errors import InputError
from .losses import Target
from .media import Film, Waveform, check_duration, check_number
from .objectives import SoundObjective, SoundWindow
from .settings import AlignSettings
from .text import PromptCut
from .trace import Trace, TracePoint

Listener = Callable[[Progress], None]


@dataclass(frozen=True)
class SoundResult:
    """sounds: one mono `Waveform` per seed, exactly as long as asked.  trace: what the loss did."""

    sounds: tuple[Waveform, ...]
    trace: Trace


def video_to_audio(
    model: AudioLDM, binder: Binder, film: Film, *, prompt: str = "", negative_prompt: str = "",
    duration_s: float | None = None, seeds: Sequence[int] = (0,), steps: int = 30, guidance_scale: float = 2.5,
    settings: AlignSettings = AlignSettings(), listener: Listener = lambda progress: None,
) -> SoundResult:
    """Sound that fits a film (V2A): AudioLDM steered by F(e_a, e_v) + F(e_a, e_p) (eq. 14).

    duration_s: seconds of sound, by default the film's.  listener: told of every step, may raise to cancel.
    An empty prompt is allowed: the text term is then left out. Raises InputError on bad input.
    """
    if len(film.times_s) < 2:
        raise InputError("video", f"{len(film.times_s)} frame", "at least two frames", "For a still picture, "
                         "repeat it into a batch, or use the image to audio task.")
    check_number("steps", steps, 1, 1000)
    check_number("guidance scale", guidance_scale, 0, 100)
    duration_s = check_duration(film.duration_s if duration_s is None else duration_s)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PromptCut)
        task = AudioTask.from_prompt(
            model, prompt, negative_prompt, duration_s=duration_s, guidance_scale=guidance_scale
        )
        windows = _sound_windows(task, binder, film, prompt, settings)
    notes = tuple(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, PromptCut)))
    return _guided_sound(task, SoundObjective(task, binder, windows), settings, seeds, steps, listener, notes)


def _sound_windows(
    task: AudioTask, binder: Binder, film: Film, prompt: str, settings: AlignSettings
) -> list[SoundWindow]:
    """The windows of the sound with their fixed targets, each embedded once. Empty when nothing is guided."""
    if settings.rate == 0:
        return []
    text = []
    if prompt.strip() and settings.text_weight:
        text = [Target("text", binder.embed_text([prompt])[0], settings.text_weight)]
    pieces = [w.scaled(task.model.samples_per_latent) for w in task.windows]
    spans, in_film = [], []
    for piece in pieces:
        start_s, stop_s = piece.start / task.model.rate_hz, min(piece.stop, task.length) / task.model.rate_hz
        own = binder.clip_spans(stop_s - start_s)
        spans.append(own)
        in_film.append([_within(film, start_s + a, start_s + b) for a, b in own])
    clips = [()] * len(pieces)
    if settings.vision_weight:
        clips = binder.embed_film(film, [span for own in in_film for span in own]).split([len(own) for own in spans])
    windows = []
    for window, piece, own, seen in zip(task.windows, pieces, spans, clips, strict=True):
        vision = [Target("vision", seen.mean(0), settings.vision_weight)] if settings.vision_weight else []
        length = min(piece.stop, task.length) - piece.start
        windows.append(SoundWindow(window.start, window.stop, length, own, vision + text))
    return windows


def _within(film: Film, start_s: float, stop_s: float) -> Span:
    """The span moved back into the film where the sound asked for outlasts it (its last second goes on)."""
    over = max(0.0, stop_s - max(film.duration_s, stop_s - start_s))
    return start_s - over, stop_s - over


def _guided_sound(
    task: AudioTask, objective: SoundObjective, settings: AlignSettings, seeds: Sequence[int], steps: int,
    listener: Listener, notes: tuple[str, ...],
) -> SoundResult:
    if not any(window.targets for window in objective.windows):
        settings = replace(settings, strength=0.0)
    points: list[TracePoint] = []

    def report(progress: Progress) -> None:
        if progress.evaluation is not None:
            points.append(_trace_point(progress, progress.evaluation))
        listener(progress)

    z = sample(task, objective, settings, seeds=seeds, steps=steps, report=report)
    waveforms = _finite(task.decode(z)).clamp(-1, 1).cpu()
    sounds = tuple(Waveform(row[None], task.model.rate_hz) for row in waveforms)
    return SoundResult(sounds, Trace(settings, steps, tuple(points), notes))


def _trace_point(progress: Progress, evaluation: Evaluation) -> TracePoint:
    terms = {name: float(value.mean()) for name, value in evaluation.terms.items()}
    return TracePoint(progress.step, progress.inner or 0, float(evaluation.loss.mean()), terms)


def _finite(samples: Tensor) -> Tensor:
    if not torch.isfinite(samples).all():
        raise InputError("alignment", "NaN or infinite sound", "finite samples", "Lower the alignment strength or the "
                         "guidance scale; if that does not help, the model's weights are damaged.")
    return samples
