"""Further targets, as a user adds them: a sentence, images, a video or a sound that the output should also fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..binders.base import Binder, Embedded, embed_waveform, together
from ..errors import InputError, check_number
from ..media.types import Segment, Video, VideoFrames, Waveform


@dataclass(frozen=True)
class Images:
    """Images that each stand for themselves.  pixels: (N, 3, H, W), 0..1."""

    pixels: Tensor


@dataclass(frozen=True)
class AlignTarget:
    """ "It should also fit this": text, images, a video or a reference sound, with a weight from 0 to 100."""

    media: str | Images | Video | Waveform
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_number("target weight", self.weight, 0, 100)


def embed_media(binder: Binder, media: str | Images | Video | Waveform, beside: str) -> Tensor:
    """(D,): the mean embedding of the media's segments, to be compared with what is `beside` them: "vision" or "audio"."""
    if isinstance(media, str):
        return binder.embed_text([media], beside)[0]
    if isinstance(media, Images):
        stills = VideoFrames(media.pixels, fps=1.0)  # one image a second: each is a segment of its own
        return binder.embed_video(stills, [(i, i + 1.0) for i in range(len(media.pixels))]).clips.mean(0)
    segments = binder.clip_segments(media.duration_s)
    if isinstance(media, Waveform):
        return embed_waveform(binder, media, segments).clips.mean(0)
    return binder.embed_video(media, segments).clips.mean(0)


def check_weights(targets: Sequence[AlignTarget]) -> None:
    """Raises InputError when there are targets but all weigh nothing."""
    if targets and not any(target.weight for target in targets):
        raise InputError("targets", f"{len(targets)} targets that all have weight 0", "at least one weight above 0")


def embed_targets(binder: Binder, targets: Sequence[AlignTarget], beside: str) -> list[tuple[str, float, Tensor]]:
    """Name ("target 1" ...), weight and embedding (D,) of each that has a weight, to be compared with what is `beside` them.

    Raises InputError when there are some but all weigh nothing.
    """
    check_weights(targets)
    return [
        (f"target {number}", target.weight, embed_media(binder, target.media, beside))
        for number, target in enumerate(targets, 1)
        if target.weight
    ]


def embed_windows(
    windows: Sequence[Sequence[Segment]], durations_s: Sequence[float], embed: Callable[[int, list[Segment]], Embedded]
) -> list[Embedded]:
    """clips (rows, S, D) for each window: the embeddings of its segments in each input, all of an input's read at once.

    embed(number of the input, segments) -> clips (all segments, D).
    """
    rows = []
    for number, duration_s in enumerate(durations_s):
        segments = [_shifted_into(segment, duration_s) for window in windows for segment in window]
        rows.append(embed(number, segments))
    embedded, counts = together(torch.stack, rows), [len(window) for window in windows]
    over_time = [None] * len(counts) if embedded.over_time is None else embedded.over_time.split(counts, 1)
    return [Embedded(*own) for own in zip(embedded.clips.split(counts, 1), over_time, strict=True)]


def _shifted_into(segment: Segment, duration_s: float) -> Segment:
    """The segment moved back to where there is something, when the output outlasts the input (its last second goes on)."""
    over = max(0.0, segment[1] - max(duration_s, segment[1] - segment[0]))
    return segment[0] - over, segment[1] - over
