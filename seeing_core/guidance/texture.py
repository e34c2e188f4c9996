"""The texture of a sound: what it is made of, whenever it comes.

Whatever moves a sound in time also makes another thing of it, most often short clicks, which are easiest to place. What a sound is
shows in statistics of its bands over time, which do not know when anything happens (McDermott and Simoncelli, "Sound texture
perception via statistics of the auditory periphery", Neuron 2011): how loud each band is on average, and how each goes with itself
a little later, which tells a knock from a ring. A sound that keeps them while it is moved stays the thing that it was.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

DEPTH = 7.0  # log energies further than this below the loudest count as silence
LAGS_S = (0.0, 0.02, 0.04, 0.08, 0.16)


class Texture(NamedTuple):
    """spectrum: (B, M), the log of each band's mean energy, less the mean of all.  rhythm: (B, lags x M), covariances over time."""

    spectrum: Tensor
    rhythm: Tensor


def silence(log_energies: Tensor) -> Tensor:
    """(B, T, M) -> (B, 1, 1): the log energy below which a sound counts as silent."""
    return log_energies.amax((1, 2), keepdim=True) - DEPTH


def texture(log_energies: Tensor, silent: Tensor, step_s: float) -> Texture:
    """Of log energies of bands (B, T, M), a value every step_s; differentiable.  silent: as `silence` finds it, (B, 1, 1)."""
    heard = (log_energies - silent).relu()
    spectrum = (heard.expm1().mean(1) + 1e-3).log()
    moving = heard - heard.mean(1, keepdim=True)
    count = moving.shape[1]
    lags = sorted({min(round(lag_s / step_s), count - 1) for lag_s in LAGS_S})
    rhythm = [(moving[:, : count - lag] * moving[:, lag:]).mean(1) for lag in lags]
    return Texture(spectrum - spectrum.mean(-1, keepdim=True), torch.cat(rhythm, -1))
