"""Describe: the phrases of a list that the binder finds nearest to a picture, a video or a sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cosine_similarity

from ..binders.base import Binder
from ..errors import InputError, check_number
from ..guidance.targets import Images, embed_media
from ..media.types import Video, Waveform

MAX_PHRASES = 5000
MAX_IMAGES = 64
SOUND_RANGE_S = (0.3, 3600.0)


@dataclass(frozen=True)
class Match:
    """A phrase and its cosine with the media, -1 to 1."""

    phrase: str
    score: float


@torch.no_grad()
def describe(binder: Binder, media: Images | Video | Waveform, phrases: Sequence[str], count: int = 5) -> list[Match]:
    """The `count` best phrases, best first; all of them when there are fewer. Equal scores keep the list's order.

    Raises InputError without phrases, with more than 5000, on more than 64 pictures, on a sound outside 0.3 s to
    1 h, and when the binder's weights give NaN.
    """
    check_number("count", count, 1, MAX_PHRASES)
    if not 1 <= len(phrases) <= MAX_PHRASES:
        raise InputError("phrases", f"{len(phrases)} of them", f"1 to {MAX_PHRASES}, one a line")
    if isinstance(media, Images) and len(media.pixels) > MAX_IMAGES:
        raise InputError(
            "pictures",
            f"{len(media.pixels)} of them",
            f"at most {MAX_IMAGES}",
            "Key Frames picks the few that best stand for a video.",
        )
    if isinstance(media, Waveform):
        check_number("duration of the sound", media.duration_s, *SOUND_RANGE_S, unit="seconds")
    medium = "audio" if isinstance(media, Waveform) else "vision"
    said = binder.embed_text(phrases, beside=medium)
    scores = cosine_similarity(embed_media(binder, media, beside="text")[None], said).float().cpu()
    if not torch.isfinite(scores).all():
        raise InputError("binder", "similarities that are not numbers", f"an undamaged {binder.name}")
    best = scores.argsort(descending=True, stable=True)[:count]
    return [Match(phrases[index], scores[index].item()) for index in best.tolist()]
