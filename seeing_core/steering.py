"""Guidance where something else does the sampling: a loss from nothing but decoders and a chain of targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .binders.base import Binder, Embedded, embed_waveform
from .generators.base import AudioDecoder, VideoDecoder
from .guidance.clips import AudioView, VideoView, View, video_windows
from .guidance.losses import OnsetMotionTerm, Term, WeightedLoss
from .guidance.settings import AlignSettings
from .guidance.targets import AlignTarget, Images, check_weights, embed_media, embed_windows
from .guidance.terms import event_terms, fit_terms, pair_terms, weighted
from .media.types import Segment, Video, Waveform
from .metrics.events import movement_events, sound_events
from .metrics.motion import measure_motion

Windows = Sequence[Sequence[Segment]]


def steering_loss(
    binder: Binder,
    targets: Sequence[AlignTarget],
    settings: AlignSettings,
    *,
    video: VideoDecoder | None = None,
    audio: AudioDecoder | None = None,
    event_times: str = "",
    clips: int = 0,
    motion_callback: Callable[[int, int], None] = lambda done, total: None,
) -> WeightedLoss:
    """What is made should fit the targets; video and audio that are made together should also fit each other (eq. 16).

    A video that a sound is to fit, and a sound that a video is to fit, are compared with it window by window, and the first of
    them says when things should happen; all other targets hold for the whole.
    event_times: by hand, in seconds: "0.5, 1.2".  clips: of the binder's in each window; 0 is all.
    Raises InputError on bad event times, and when there are targets but all weigh nothing.
    """
    check_weights(targets)
    views: dict[str, View] = {}
    windows: Windows = []
    hearing = AudioView(audio, binder, clips) if audio else None
    if hearing:
        windows = hearing.all_segments_s()
    if video:
        windows = windows or video_windows(binder, video.frames / video.fps, clips)
        views["vision"] = VideoView(video, binder, windows)
    if hearing:
        views["audio"] = hearing
    if not settings.enabled:
        return WeightedLoss(views, [[] for _ in windows])
    terms: list[list[Term]] = [[] for _ in windows]
    if settings.binder_weight:
        for number, target in enumerate(targets, 1):
            for medium in views if target.weight else ():
                for own, embedded in zip(terms, _embedded(binder, target, medium, windows), strict=True):
                    own += fit_terms(f"target {number}", _weight(target, settings), medium, embedded, settings)
        if len(views) == 2:
            for own in terms:
                own += pair_terms(binder, settings)
    whole: list[Term] = []
    for medium, duration_s in _durations_s(video, audio).items():
        found = _events_found(targets, medium, motion_callback)
        whole += event_terms(medium, settings, event_times, duration_s, found)
    if video and audio and video.frames > 1:
        whole.append(OnsetMotionTerm(settings.sync_weight))
    return WeightedLoss(views, terms, weighted(whole))


def _weight(target: AlignTarget, settings: AlignSettings) -> float:
    by_medium = {"text": settings.text_weight, "audio": settings.audio_weight, "vision": settings.vision_weight}
    return settings.binder_weight * target.weight * by_medium[_medium(target)]


def _medium(target: AlignTarget) -> str:
    if isinstance(target.media, str):
        return "text"
    return "audio" if isinstance(target.media, Waveform) else "vision"


def _video(target: AlignTarget) -> Video | None:
    media = target.media
    return None if isinstance(media, (str, Images, Waveform)) else media


def _embedded(binder: Binder, target: AlignTarget, medium: str, windows: Windows) -> list[Embedded]:
    """clips (1, S, D) for each window."""
    media, video = target.media, _video(target)
    if medium == "audio" and video is not None:
        return embed_windows(windows, [video.duration_s], lambda _, segments: binder.embed_video(video, segments))
    if medium == "vision" and isinstance(media, Waveform):
        return embed_windows(windows, [media.duration_s], lambda _, segments: embed_waveform(binder, media, segments))
    return [Embedded(embed_media(binder, media, medium)[None, None])] * len(windows)


def _durations_s(video: VideoDecoder | None, audio: AudioDecoder | None) -> dict[str, float]:
    """Of what can have events, in seconds: a single frame never moves."""
    seconds = {"audio": audio.duration_s} if audio else {}
    return seconds | ({"vision": video.frames / video.fps} if video and video.frames > 1 else {})


def _events_found(
    targets: Sequence[AlignTarget], medium: str, motion_callback: Callable[[int, int], None]
) -> Callable[[], list[list[float]]]:
    """When the first target of the other medium moves or sounds."""

    def found() -> list[list[float]]:
        for target in targets:
            video = _video(target)
            if target.weight and medium == "audio" and video is not None and len(video.times_s) > 1:
                return [movement_events(measure_motion(video, callback=motion_callback)).chosen()]
            if target.weight and medium == "vision" and isinstance(target.media, Waveform):
                return [sound_events(target.media).chosen()]
        return [[]]

    return found
