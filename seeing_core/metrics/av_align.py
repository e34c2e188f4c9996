"""AV-Align: do things sound when they move? (Yariv et al., "Diverse and Aligned Audio-to-Video Generation", AAAI 2024)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import InputError
from .motion import FLOW_FLOOR, Motion
from .onsets import Onsets

Form = Literal["one_to_one", "paper"]
FORMS: tuple[str, ...] = get_args(Form)
FLOOR = {"one_to_one": FLOW_FLOOR, "paper": 0.0}  # pixels


@dataclass(frozen=True)
class AVAlign:
    """score: hits / (onsets + motions - hits); None when there is neither onset nor motion peak, so nothing to align.

    hits: (time of the onset, time of the motion peak) pairs, in seconds.  onsets_s, motions_s: all of them.
    tolerance_s: 1 / fps, so scores of videos of different fps do not compare.
    """

    form: Form
    score: float | None
    hits: tuple[tuple[float, float], ...]
    onsets_s: tuple[float, ...]
    motions_s: tuple[float, ...]
    tolerance_s: float


def av_align(onsets: Onsets, motion: Motion, form: Form = "one_to_one") -> AVAlign:
    """AV-Align of a sound's onsets and a video's motion.

    "paper": as released and as the tables of the Seeing and Hearing paper have it; every local maximum of the flow
    counts, one motion may be hit by several onsets, and the score may therefore exceed 1. "one_to_one": the authors'
    correction of 2025; each motion is hit at most once and must reach 0.1 pixel; from 0 to 1.
    """
    if form not in FORMS:
        raise InputError("AV-Align form", f"'{form}'", "one of " + ", ".join(FORMS))
    onsets_s, motions_s = onsets.peaks_s.tolist(), motion.peaks_s(FLOOR[form]).tolist()
    hits = match(onsets_s, motions_s, 1 / motion.fps, once=form == "one_to_one")
    union = len(onsets_s) + len(motions_s) - len(hits)
    score = len(hits) / union if union else None
    return AVAlign(form, score, tuple(hits), tuple(onsets_s), tuple(motions_s), 1 / motion.fps)


def match(onsets_s: list[float], motions_s: list[float], tolerance_s: float, *, once: bool) -> list[tuple[float, float]]:
    """Each onset, in order, with the first motion nearer than `tolerance_s` (and not yet taken, if `once`); all rising.

    Taking the first free one finds as many pairs as any matching can, as all tolerances are equal. A distance of the
    tolerance itself is no hit, whatever the rounding.
    """
    hits, free = [], list(motions_s)
    for onset in onsets_s:
        near = next((motion for motion in free if abs(motion - onset) < tolerance_s - 1e-9), None)
        if near is None:
            continue
        hits.append((onset, near))
        if once:
            free.remove(near)
    return hits
