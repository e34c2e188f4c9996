"""All measures of how well one sound fits one video, together, with a few plain words about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..binders.base import Binder
from ..media.types import Video, Waveform
from .av_align import AVAlign, av_align
from .binder_scores import BinderScores, binder_scores
from .lag import Lag, measure_lag
from .motion import FLOW_SIDE, Callback, Motion, measure_motion
from .onsets import Onsets, find_onsets

WEAK_CORRELATION = 0.3  # unrelated sound and picture reach it in half of the cases
FEW_EVENTS = 4


@dataclass(frozen=True)
class AVFit:
    """The measures of a video and a sound, and what they were taken from. Prints as a few sentences."""

    sound: Waveform
    video_s: float
    onsets: Onsets
    motion: Motion
    one_to_one: AVAlign
    paper: AVAlign
    lag: Lag
    binder: BinderScores | None

    def __str__(self) -> str:
        return "\n".join([*_align_words(self), *_lag_words(self.lag), *_binder_words(self.binder), *_notes(self)])


def measure_fit(video: Video, sound: Waveform, motion: Motion, *, binder: Binder | None = None, prompt: str = "") -> AVFit:
    """How well `sound` fits `video`.  motion: the video's, from `measure_motion`, so that many sounds can share it."""
    onsets = find_onsets(sound)
    return AVFit(
        sound,
        video.duration_s,
        onsets,
        motion,
        av_align(onsets, motion, "one_to_one"),
        av_align(onsets, motion, "paper"),
        measure_lag(onsets, motion),
        binder_scores(binder, video, sound, prompt) if binder is not None else None,
    )


def measure_fits(
    pairs: Sequence[tuple[Video, Waveform]],
    *,
    side: int = FLOW_SIDE,
    binder: Binder | None = None,
    prompt: str = "",
    callback: Callback = lambda done, total: None,
) -> list[AVFit]:
    """The fit of every pair; the motion of a video that occurs several times is measured once."""
    motions: dict[int, Motion] = {}
    for video, _ in pairs:
        if id(video) not in motions:
            motions[id(video)] = measure_motion(video, side=side, callback=callback)
    return [measure_fit(video, sound, motions[id(video)], binder=binder, prompt=prompt) for video, sound in pairs]


def format_score(value: float | None, digits: int = 3) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _align_words(fit: AVFit) -> list[str]:
    counted = fit.one_to_one
    if counted.score is None:
        return ["AV-Align: undefined; nothing in the sound starts and nothing in the picture moves."]
    return [
        f"AV-Align, one to one: {format_score(counted.score)} ({len(counted.hits)} matches of {len(counted.onsets_s)} onsets and "
        f"{len(counted.motions_s)} motions, within {1000 * counted.tolerance_s:.0f} ms at {fit.motion.fps:g} fps)",
        f"AV-Align, paper form: {format_score(fit.paper.score)} ({len(fit.paper.hits)} matches of {len(fit.paper.onsets_s)} "
        f"onsets and {len(fit.paper.motions_s)} motions)",
    ]


def _lag_words(lag: Lag) -> list[str]:
    if lag.lag_s is None or lag.correlation is None:
        return ["Lag: undefined; the sound or the picture does not change."]
    ms = round(1000 * lag.lag_s)
    words = f"{abs(ms)} ms {'after' if ms > 0 else 'before'} the picture" if ms else "with the picture"
    weak = "; no more than chance" if lag.correlation < WEAK_CORRELATION else ""
    return [f"Lag: the sound comes {words} (correlation {lag.correlation:.2f}{weak})"]


def _binder_words(scores: BinderScores | None) -> list[str]:
    if scores is None:
        return []
    words = f"Binder similarity ({scores.binder}): sound and picture {scores.av:.3f}"
    if scores.vt is not None and scores.at is not None:
        words += f", picture and prompt {scores.vt:.3f}, sound and prompt {scores.at:.3f}"
    return [words]


def _notes(fit: AVFit) -> list[str]:
    notes = []
    events = len(fit.one_to_one.onsets_s) + len(fit.one_to_one.motions_s)
    if 0 < events < FEW_EVENTS:
        notes.append("Note: so few events that chance has a large say in AV-Align.")
    if abs(fit.sound.duration_s - fit.video_s) > 0.1 + 1 / fit.motion.fps:
        notes.append(f"Note: the sound is {fit.sound.duration_s:.2f} s long, the video {fit.video_s:.2f} s.")
    return notes
