"""Further targets, as a user adds them: a sentence, pictures, a film or a sound that the output should also fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..binders.base import Binder
from ..errors import InputError
from .old_losses import Target
from ..media.types import VideoFrames, Video, Waveform, check_number, mono


@dataclass(frozen=True)
class Images:
    """Pictures that each stand for themselves.  pictures: (N, 3, H, W), 0..1."""

    pictures: Tensor


@dataclass(frozen=True)
class AlignTarget:
    """"It should also fit this": text, pictures, a film or a reference sound, with a weight from 0 to 100."""

    media: str | Images | Video | Waveform
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_number("target weight", self.weight, 0, 100)


def embed_media(binder: Binder, media: str | Images | Video | Waveform) -> Tensor:
    """(D,): the mean embedding of the media's clips."""
    if isinstance(media, str):
        return binder.embed_text([media])[0]
    if isinstance(media, Images):
        stills = VideoFrames(media.pictures, fps=1.0)  # one picture a second: each is a clip of its own
        return binder.embed_video(stills, [(i, i + 1.0) for i in range(len(media.pictures))]).mean(0)
    segments = binder.clip_segments(media.duration_s)
    if isinstance(media, Waveform):
        return binder.embed_audio(mono(media, binder.rate_hz)[None], segments)[0].mean(0).detach()
    return binder.embed_video(media, segments).mean(0)


def embed_targets(binder: Binder, extra: Sequence[AlignTarget]) -> list[Target]:
    """Their targets, named target 1, 2 ... Raises InputError when there are some but all weigh nothing."""
    if extra and not any(one.weight for one in extra):
        raise InputError("targets", f"{len(extra)} targets that all have weight 0", "at least one weight above 0")
    return [Target(f"target {number}", embed_media(binder, one.media), one.weight)
            for number, one in enumerate(extra, 1) if one.weight]
