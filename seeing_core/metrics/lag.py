"""How much later the sound comes than the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .motion import Motion
from .onsets import Onsets

GRID_HZ = 100
LONGEST_S = 2.0
SMOOTH_S = 0.04
FEWEST = 4  # points of the grid


@dataclass(frozen=True)
class Lag:
    """lag_s: seconds by which the sound comes after the motion (negative: before).  correlation: at that lag, -1..1.

    Both are None when the sound or the picture never changes. Unrelated sound and picture of a few seconds reach a
    correlation of 0.3 in half of the cases: below that the lag means nothing.
    """

    lag_s: float | None
    correlation: float | None


def measure_lag(onsets: Onsets, motion: Motion, *, longest_s: float = LONGEST_S) -> Lag:
    """The shift at which onset strength and motion correlate best, within `longest_s` and half the common length.

    Like DeSync (Iashin et al., "Synchformer", ICASSP 2024: offsets of up to 2 s) but by plain correlation, without a
    trained model. Both curves are interpolated to 100 Hz and smoothed over 40 ms. The correlation is that of the whole
    curves, with silence and stillness beyond their ends, so that a few frames that happen to agree at a large shift do
    not win. Exact to about half a frame, as a motion is dated by the frame in which it is first seen. Of two equally
    good lags the shorter is taken.
    """
    end_s = min(float(onsets.times_s[-1]), float(motion.times_s[-1]))
    grid = np.arange(0, end_s, 1 / GRID_HZ)
    if len(grid) < FEWEST:
        return Lag(None, None)
    onset_curve = _curve(grid, onsets.times_s.numpy(), onsets.strength.numpy())
    motion_curve = _curve(grid, motion.times_s.numpy(), motion.flow.numpy())
    scale = float(np.sqrt((onset_curve * onset_curve).sum() * (motion_curve * motion_curve).sum()))
    if scale < 1e-9:
        return Lag(None, None)
    scores = np.correlate(onset_curve, motion_curve, mode="full") / scale  # shifts from -(n - 1) to n - 1
    most = min(round(longest_s * GRID_HZ), len(grid) // 2)
    shifts = np.array(sorted(range(-most, most + 1), key=abs))
    best = int(np.argmax(scores[shifts + len(grid) - 1].round(9)))
    return Lag(float(shifts[best]) / GRID_HZ, float(scores[shifts[best] + len(grid) - 1]))


def _curve(grid: NDArray, times_s: NDArray, values: NDArray) -> NDArray:
    """The values on the grid, smoothed, their mean taken away."""
    smooth = np.hanning(2 * round(SMOOTH_S * GRID_HZ) + 1)
    curve = np.interp(grid, times_s, values)
    padded = np.pad(curve, len(smooth) // 2, mode="edge")
    curve = np.convolve(padded, smooth / smooth.sum(), mode="valid")
    return curve - curve.mean()
