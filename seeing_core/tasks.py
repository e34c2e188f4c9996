"""The four tasks, each from media in to media out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .guidance.loop import Evaluation, Objective, Progress, sample
from .guidance.assembly import video_objective, joint_objective, sound_objective, sound_view
from .generators.audioldm import AudioLDM, ConditionedAudioLDM
from .binders.base import Binder, Segment
from .guidance.prompt_completion import complete_prompt, completion_notes, draw_phrase
from .errors import InputError
from .guidance.old_losses import Target
from .media.types import DURATION_RANGE_S, VideoFrames, Video, Waveform, check_duration, check_number, mono
from .metrics.motion import measure_motion
from .metrics.onsets import find_onsets
from .guidance.settings import AlignSettings
from .guidance.targets import AlignTarget, Images, embed_targets, embed_media
from .generators.prompts import PromptCut
from .guidance.sync import motion_peaks, parse_times
from .guidance.trace import Trace, TracePoint
from .guidance.state import Denoiser
from .generators.animatediff import AnimateDiff, ConditionedAnimateDiff
from .guidance.clips import SoundView

Listener = Callable[[Progress], None]
SILENCE = 1e-4  # peak below which a sound has nothing to align to


@dataclass(frozen=True)
class TaskResult:
    """sounds, films: one per seed, empty where the task makes none.  trace: what the loss did."""

    trace: Trace
    waveforms: tuple[Waveform, ...] = ()
    videos: tuple[VideoFrames, ...] = ()


@dataclass(frozen=True)
class RunConfig:
    """What all tasks share.

    seeds: one output each.  steps: denoise steps.  settings: of the aligner.  extra: further targets that the output
    should fit.  event_times: when something should sound (or move), in seconds, "0.5, 1.2"; empty: when the input moves (or
    sounds), where the settings give the event term a weight.  listener: told of every step; an exception it raises cancels
    the run.
    """

    seeds: Sequence[int] = (0,)
    steps: int = 30
    settings: AlignSettings = AlignSettings()
    extra: Sequence[AlignTarget] = ()
    event_times: str = ""
    listener: Listener = lambda progress: None

    def __post_init__(self) -> None:
        check_number("steps", self.steps, 1, 1000)


def video_to_audio(
    model: AudioLDM, binder: Binder, video: Video, run: RunConfig = RunConfig(), *, prompt: str = "", negative_prompt: str = "",
    duration_s: float | None = None, guidance_scale: float = 2.5,
) -> TaskResult:
    """Sound that fits a film (V2A): AudioLDM steered by F(e_a, e_v) + F(e_a, e_p) (eq. 14).

    duration_s: seconds of sound, by default the film's. A film longer than 10 s is fitted window by window, each to its
    own part. An empty prompt leaves the text term out. Raises InputError on bad input.
    """
    if len(video.times_s) < 2:
        raise InputError("video", f"{len(video.times_s)} frame", "at least two frames",
                         "For a still picture use the image to audio task.")
    duration_s = check_duration(video.duration_s if duration_s is None else duration_s)

    def vision(view: SoundView) -> list[Tensor]:
        groups = [[_shifted_into(segment, video.duration_s) for segment in view.times_s(piece)] for piece in view.pieces]
        clips = binder.embed_video(video, [segment for group in groups for segment in group])
        return list(clips.split([len(group) for group in groups]))

    def moves() -> list[float]:
        return motion_peaks(measure_motion(video))

    return _make_sound(model, binder, vision, moves, run, prompt, negative_prompt, duration_s, guidance_scale)


def image_to_audio(
    model: AudioLDM, binder: Binder, pictures: Tensor, run: RunConfig = RunConfig(), *, prompt: str = "", negative_prompt: str = "",
    duration_s: float = 10.0, guidance_scale: float = 2.5,
) -> TaskResult:
    """Sound that fits one or several pictures (I2A): the loop and the loss of V2A, the pictures' mean as the target.

    pictures: (N, 3, H, W), 0..1.  duration_s: seconds of sound. Raises InputError on bad input.
    """
    check_duration(duration_s)

    def vision(view: SoundView) -> list[Tensor]:
        seen = embed_media(binder, Images(pictures))
        return [seen.expand(size, -1) for size in view.sizes]

    return _make_sound(model, binder, vision, list, run, prompt, negative_prompt, duration_s, guidance_scale)


def audio_to_video(
    model: AnimateDiff, binder: Binder, sound: Waveform, run: RunConfig = RunConfig(steps=25), *, prompt: str = "",
    negative_prompt: str = "", duration_s: float | None = None, fps: float = 8.0, width: int = 0, height: int = 0,
    guidance_scale: float = 7.5,
) -> TaskResult:
    """A film that fits a sound (A2V): AnimateDiff steered by F(e_v, e_a) + F(e_v, e_p) (eq. 15).

    duration_s: seconds of film, by default the sound's.  width, height: pixels; 0 is the model's own size.
    Silence is noted in the trace: there is nothing to align to. Raises InputError on bad input.
    """
    settings = run.settings
    duration_s = check_duration(sound.duration_s if duration_s is None else duration_s)
    hears = settings.attends and settings.audio_weight > 0
    with _notes() as notes:
        groups = span_groups(binder, max(1, round(duration_s * fps)) / fps)
        heard = _heard(binder, sound, groups, notes) if hears else []
        if settings.words and heard:
            prompt = _completed(binder, prompt, torch.cat(heard), notes)
        task = ConditionedAnimateDiff.from_prompt(model, prompt, negative_prompt, duration_s=duration_s, fps=fps, width=width,
                                     height=height, guidance_scale=guidance_scale)
        targets = [list(_fixed_targets(binder, prompt, run)) for _ in groups]
        for own, clips in zip(targets, heard):
            own.append(Target("audio", clips.mean(0), settings.audio_weight, clips))
        times_s, settings = _event_times(run, task.duration_s, lambda: find_onsets(sound).peaks_s.tolist() if hears else [])
    objective = video_objective(task, binder, groups, targets, settings, [times_s])
    (z,), trace = _guided([task], objective, run, any(targets), notes)
    return TaskResult(trace, videos=tuple(VideoFrames(_finite(frames), fps) for frames in task.decode(z)))


def video_and_audio(
    video_model: AnimateDiff, audio_model: AudioLDM, binder: Binder, run: RunConfig = RunConfig(steps=25), *, prompt: str,
    negative_prompt: str = "", duration_s: float = 2.0, fps: float = 8.0, width: int = 0, height: int = 0,
    video_guidance_scale: float = 7.5, audio_guidance_scale: float = 2.5,
) -> TaskResult:
    """A film and its sound from a text (Joint-VA, Algorithm 1): both models in lock-step, the triangle loss of eq. 16.

    The sound lasts exactly as long as the frames: round(duration_s * fps) / fps seconds, one frame more where that is less than
    a sound may last. Raises InputError on bad input.
    """
    settings, check = run.settings, check_duration(duration_s)
    with _notes() as notes:
        prompts = [prompt]
        if settings.words:  # each seed makes up its own mind, and both models hear of it
            prompts = [draw_phrase(binder, prompt, seed) for seed in run.seeds]
            notes += completion_notes(prompt, prompts)
        video = ConditionedAnimateDiff.from_prompt(video_model, prompts, negative_prompt, duration_s=check, fps=fps, width=width,
                                     height=height, guidance_scale=video_guidance_scale)
        video = replace(video, frames=max(video.frames, math.ceil(DURATION_RANGE_S[0] * fps)))
        sound = ConditionedAudioLDM.from_prompt(audio_model, prompts, negative_prompt, duration_s=video.duration_s,
                                      guidance_scale=audio_guidance_scale)
        text_weight = settings.text_weight if prompt.strip() else 0.0
        extra = embed_targets(binder, run.extra) if settings.aligns else []
        objective = joint_objective(video, sound, binder, binder.embed_text(prompts), settings, text_weight=text_weight,
                                    extra=extra)
    wanted = bool(text_weight or settings.vision_weight * settings.audio_weight or extra)
    (z_v, z_a), trace = _guided([video, sound], objective, run, wanted, notes)
    videos = tuple(VideoFrames(_finite(frames), fps) for frames in video.decode(z_v))
    return TaskResult(trace, _sounds(sound, z_a), videos)


def span_groups(binder: Binder, duration_s: float, group_s: float = 10.24) -> list[list[Segment]]:
    """The binder's clips of a long film in groups of at most `group_s`, each group judged by its own mean."""
    count = max(1, -int(-duration_s // group_s))
    length = duration_s / count
    return [[(i * length + a, i * length + b) for a, b in binder.clip_segments(length)] for i in range(count)]


def _make_sound(
    model: AudioLDM, binder: Binder, vision: Callable[[SoundView], list[Tensor]], moves: Callable[[], list[float]], run: RunConfig,
    prompt: str, negative_prompt: str, duration_s: float, guidance_scale: float,
) -> TaskResult:
    """V2A and I2A, which differ only in the vision target.

    vision: gives the embeddings (S, D) of each group of clips.  moves: when the picture moves.
    """
    check_number("guidance scale", guidance_scale, 0, 100)
    sees = run.settings.attends and run.settings.vision_weight > 0
    with _notes() as notes:
        task = ConditionedAudioLDM.from_prompt(model, prompt, negative_prompt, duration_s=duration_s, guidance_scale=guidance_scale)
        view = sound_view(task, binder, run.settings)
        seen = vision(view) if sees else []
        if run.settings.words and seen:
            prompt = _completed(binder, prompt, torch.cat(seen), notes)
            task = replace(task, positive=model.embed_prompt([prompt]))
        targets = [list(_fixed_targets(binder, prompt, run)) for _ in view.pieces]
        for own, clips in zip(targets, seen):
            own.insert(0, Target("vision", clips.mean(0), run.settings.vision_weight, clips))
        times_s, settings = _event_times(run, duration_s, moves if sees else list)
    objective = sound_objective(view, targets, settings, [times_s])
    (z,), trace = _guided([task], objective, run, any(targets), notes)
    return TaskResult(trace, _sounds(task, z))


def _completed(binder: Binder, prompt: str, clips: Tensor, notes: list[str]) -> str:
    """The prompt in the binder's words for the target's clips (S, D)."""
    whole = complete_prompt(binder, prompt, clips.mean(0))
    notes += completion_notes(prompt, [whole])
    return whole


def _heard(binder: Binder, sound: Waveform, groups: Sequence[Sequence[Segment]], notes: list[str]) -> list[Tensor]:
    """The embeddings (S, D) of each group of clips of a sound. A silent one is noted and gives its embeddings all the same."""
    samples = mono(sound, binder.rate_hz)
    if samples.abs().max() < SILENCE:
        notes.append("audio: it is silent, so there is nothing to align the picture to")
    insides = [[_shifted_into(segment, sound.duration_s) for segment in group] for group in groups]
    return [binder.embed_audio(samples[None], inside)[0].detach() for inside in insides]


def _event_times(run: RunConfig, duration_s: float, found: Callable[[], list[float]]) -> tuple[list[float], AlignSettings]:
    """When something should happen, and the settings with a weight for it: times given by hand always count."""
    settings = run.settings
    if run.event_times.strip():
        return parse_times(run.event_times, duration_s), replace(settings, event_weight=settings.event_weight or 1.0)
    return found() if settings.aligns and settings.event_weight else [], settings


def _fixed_targets(binder: Binder, prompt: str, run: RunConfig) -> list[Target]:
    """The prompt and the extra targets, embedded once; none when nothing is aligned."""
    if not run.settings.aligns:
        return []
    text = []
    if prompt.strip() and run.settings.text_weight:
        text = [Target("text", binder.embed_text([prompt])[0], run.settings.text_weight)]
    return text + embed_targets(binder, run.extra)


def _guided(
    models: Sequence[Denoiser], objective: Objective, run: RunConfig, wanted: bool, notes: Sequence[str]
) -> tuple[list[Tensor], Trace]:
    """Runs the loop; `wanted` is False when no target is left, which is plain sampling."""
    settings = run.settings if wanted else replace(run.settings, strength=0.0, prompt_strength=0.0)
    points: list[TracePoint] = []

    def report(progress: Progress) -> None:
        if progress.evaluation is not None:
            points.append(_trace_point(progress, progress.evaluation))
        run.listener(progress)

    latents = sample(models, objective, settings, seeds=run.seeds, steps=run.steps, report=report)
    return latents, Trace(settings, run.steps, tuple(points), tuple(dict.fromkeys(notes)))


def _trace_point(progress: Progress, evaluation: Evaluation) -> TracePoint:
    terms = {name: float(value.mean()) for name, value in evaluation.terms.items()}
    return TracePoint(progress.step, progress.inner or 0, float(evaluation.loss.mean()), terms)


def _sounds(task: ConditionedAudioLDM, z: Tensor) -> tuple[Waveform, ...]:
    waveforms = _finite(task.decode(z)).clamp(-1, 1).cpu()
    return tuple(Waveform(row[None], task.model.rate_hz) for row in waveforms)


@contextmanager
def _notes() -> Iterator[list[str]]:
    """A list that also collects what was cut from too long prompts."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PromptCut)
        yield notes
    for warning in caught:
        if issubclass(warning.category, PromptCut):
            notes.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _shifted_into(segment: Segment, duration_s: float) -> Segment:
    """The span moved back to where there is something, when the output outlasts it (its last second goes on)."""
    over = max(0.0, segment[1] - max(duration_s, segment[1] - segment[0]))
    return segment[0] - over, segment[1] - over


def _finite(output: Tensor) -> Tensor:
    if not torch.isfinite(output).all():
        raise InputError("alignment", "an output with NaN or infinite values", "finite values", "Lower the alignment "
                         "strength or the guidance scale; if that does not help, the model's weights are damaged.")
    return output
