"""When things happen in a video or a sound: the moments that guidance fits the other medium to, and that an artist can correct."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..errors import check_number
from ..media.types import Waveform
from .motion import FLOW_FLOOR, Motion
from .onsets import find_onsets

ATTACK = 4  # values of a sound's curve, 23 ms each, within which an onset reaches its full strength


@dataclass(frozen=True)
class Events:
    """times_s: of the events, rising, in seconds.  strengths: of each, positive, without a common unit.

    curve, curve_s: (F,) what they were found in, and its times: optical flow in pixels a frame, or the flux of a sound.
    """

    times_s: tuple[float, ...]
    strengths: tuple[float, ...]
    curve: Tensor
    curve_s: Tensor

    def chosen(
        self, sensitivity: float = 1.0, minimum_gap_s: float = 0.0, start_s: float = 0.0, end_s: float | None = None
    ) -> list[float]:
        """Those from start_s to before end_s whose strength is at least 1 - sensitivity of the strongest's there.

        Of several closer than the gap the strongest stays. Raises InputError for a sensitivity outside 0 to 1 or a negative gap.
        """
        check_number("sensitivity", sensitivity, 0, 1)
        check_number("minimum gap", minimum_gap_s, 0, 3600, unit="seconds")
        inside = [
            (strength, time_s)
            for time_s, strength in zip(self.times_s, self.strengths, strict=True)
            if time_s >= start_s and (end_s is None or time_s < end_s)
        ]
        least = (1 - sensitivity) * max(inside, default=(0.0, 0.0))[0]
        kept: list[float] = []
        for strength, time_s in sorted(inside, key=lambda event: (-event[0], event[1])):
            if strength >= least and all(abs(time_s - other) >= minimum_gap_s for other in kept):
                kept.append(time_s)
        return sorted(kept)


def movement_events(motion: Motion) -> Events:
    """When a video moves most: where things can be expected to sound. A movement lies between two frames."""
    middles_s = (motion.times_s - 0.5 / motion.fps).clamp_min(0)
    before, here, after = motion.flow[:-2], motion.flow[1:-1], motion.flow[2:]
    peaks = ((here > before) & (here > after) & (here >= FLOW_FLOOR)).nonzero().flatten() + 1
    return Events(tuple(middles_s[peaks].tolist()), tuple(motion.flow[peaks].tolist()), motion.flow, middles_s)


def sound_events(sound: Waveform) -> Events:
    """When a sound starts."""
    found = find_onsets(sound)
    places = [int((found.times_s - time_s).abs().argmin()) for time_s in found.peaks_s.tolist()]
    strengths = [float(found.strength[place : place + ATTACK].max()) for place in places]
    return Events(tuple(found.peaks_s.tolist()), tuple(strengths), found.strength, found.times_s)
