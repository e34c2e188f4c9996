"""Light changes to what a binder sees, drawn anew at every inner step: what survives them was not made to fool it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

# At strength 1:
SHIFT_S = 0.1
GAIN = 0.3
NOISE = 0.02  # of the input's own size
CROP = 0.1  # of the side


class Augment:
    """strength: how large the changes are; 0 is none. Draws are the same in every run."""

    def __init__(self, strength: float = 0.0) -> None:
        self.strength = strength
        self._random = torch.Generator().manual_seed(0)

    def sound(self, samples: Tensor, rate_hz: int) -> Tensor:
        """(B, n) shifted in time, louder or softer, with a little noise. Differentiable."""
        if self.strength == 0:
            return samples
        shift = round(self._between(-1, 1) * SHIFT_S * rate_hz)
        return self._noisy(samples.roll(shift, -1) * self._gain())

    def squares(self, squares: Tensor) -> Tensor:
        """(B, n, 3, side, side) cropped alike, brighter or darker, with a little noise. Differentiable."""
        if self.strength == 0:
            return squares
        side = squares.shape[-1]
        crop = round(side * min(CROP * self.strength, 0.5) * self._between(0, 1))
        top, left = (round(self._between(0, 1) * crop) for _ in range(2))
        cropped = squares[..., top : side - crop + top, left : side - crop + left].flatten(0, 1)
        whole = interpolate(cropped, size=(side, side), mode="bilinear", align_corners=False)
        return self._noisy(whole.unflatten(0, squares.shape[:2]) * self._gain())

    def _between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._random))

    def _gain(self) -> float:
        return 1 + self.strength * GAIN * self._between(-1, 1)

    def _noisy(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=self._random).to(x)
        return x + self.strength * NOISE * x.detach().square().mean().sqrt() * noise
