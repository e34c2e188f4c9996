"""What a run is judged by, put together from its settings: the views, the targets and the event terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from .loop import Objective
from ..generators.audioldm import ConditionedAudioLDM
from ..binders.base import Binder, Segment
from .old_losses import Target
from .losses import Also, Decoded, FitEachOther, FitTargets, Nothing
from .settings import AlignSettings
from .sync import AtTimes, FrameChange, OnsetStrength, Together
from ..generators.animatediff import ConditionedAnimateDiff
from .clips import ClipDraw, PictureView, SoundView, View

EVENTS = "events"  # the name of the event term in a trace
Times = Sequence[Sequence[float]]
Decode = Callable[[Tensor], Tensor]


def sound_view(task: ConditionedAudioLDM, binder: Binder, settings: AlignSettings) -> SoundView:
    return SoundView.of(task, binder, augment=settings.augment)


def sound_objective(view: SoundView, targets: Sequence[Sequence[Target]], settings: AlignSettings, times_s: Times) -> Objective:
    """V2A and I2A (eq. 14).  targets: of each group of clips.  times_s: of each sample or one for all, when it should sound."""
    return _fit_in_time(view, view.task.decode_mels, AtTimes(OnsetStrength(view.task), 0, times_s), targets, settings)


def video_objective(
    task: ConditionedAnimateDiff, binder: Binder, groups: Sequence[Sequence[Segment]], targets: Sequence[Sequence[Target]],
    settings: AlignSettings, times_s: Times,
) -> Objective:
    """A2V (eq. 15).  groups: the clips of each group, in seconds.  times_s: when something should move."""
    view = PictureView.of(task, binder, groups, slice_frames=settings.slice_frames, augment=settings.augment)
    if task.frames < 2:  # one picture never changes
        times_s = [[]]
    return _fit_in_time(view, _frames_of(task, settings), AtTimes(FrameChange(task), 0, times_s), targets, settings)


def joint_objective(
    video: ConditionedAnimateDiff, sound: ConditionedAudioLDM, binder: Binder, prompt: Tensor, settings: AlignSettings, *, text_weight: float,
    extra: Sequence[Target] = (),
) -> Objective:
    """Joint-VA (eq. 16).  prompt: its embedding (D,), or one for each sample (B, D)."""
    timed = settings.event_weight > 0 and video.frames > 1  # one picture never changes
    hearing = replace(sound_view(sound, binder, settings), decoded=timed)
    seeing = PictureView.of(video, binder, [hearing.times_s(piece) for piece in hearing.pieces],
                            slice_frames=settings.slice_frames, augment=settings.augment)
    seeing = replace(seeing, decoded=timed)
    vision, audio = settings.fit_weight * settings.vision_weight, settings.audio_weight
    weights = {"vision-text": text_weight * vision, "audio-text": text_weight * audio * settings.fit_weight,
               "vision-audio": vision * audio}
    objective: Objective = Nothing()
    if settings.fit_weight:
        objective = FitEachOther(seeing, hearing, prompt, weights, extra, ClipDraw(settings.clips), settings.clip_weight)
    if not timed:
        return objective
    term = Together(FrameChange(video), OnsetStrength(sound))
    return Decoded([_frames_of(video, settings), sound.decode_mels], _also(objective, term, settings))


def _fit_in_time(
    view: SoundView | PictureView, decode: Decode, term: AtTimes, targets: Sequence[Sequence[Target]], settings: AlignSettings
) -> Objective:
    if not settings.event_weight or not any(term.times_s):
        return _fit(view, targets, settings)
    return Decoded([decode], _also(_fit(replace(view, decoded=True), targets, settings), term, settings))


def _fit(view: View, targets: Sequence[Sequence[Target]], settings: AlignSettings) -> Objective:
    if not settings.fit_weight:
        return Nothing()
    groups = [[replace(target, weight=settings.fit_weight * target.weight) for target in group] for group in targets]
    return FitTargets(view, groups, ClipDraw(settings.clips), settings.clip_weight)


def _also(objective: Objective, term: AtTimes | Together, settings: AlignSettings) -> Also:
    return Also(objective, EVENTS, term, settings.event_weight, tuned=settings.prompt_strength > 0)


def _frames_of(task: ConditionedAnimateDiff, settings: AlignSettings) -> Decode:
    return partial(task.decode_frames, slice_frames=settings.slice_frames)
