"""Long audio and video in overlapping windows, so that memory does not grow with the length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .checkpointing import checkpointed


@dataclass(frozen=True)
class Window:
    """A piece [start, stop) of a long axis, in that axis's own unit."""

    start: int
    stop: int

    def scaled(self, factor: int) -> Window:
        return Window(self.start * factor, self.stop * factor)


def split(length: int, size: int, overlap: int) -> list[Window]:
    """Windows of `size` that cover [0, length), neighbours sharing at least `overlap`; one window if it all fits."""
    if length <= size:
        return [Window(0, length)]
    starts = [*range(0, length - size, size - overlap), length - size]
    return [Window(start, start + size) for start in starts]


def blend(windows: Sequence[Window], piece: Callable[[Window], Tensor], *, dim: int) -> Tensor:
    """One long tensor from the pieces of its windows, cross-faded linearly where they overlap along `dim`.

    piece(window) -> a tensor at least as long as the window along `dim` (anything over is cut). Where three windows
    overlap, which the last may do with the two before it, their weights are scaled so that they too add up to 1.
    """
    total = weights = torch.empty(0)
    for number, window in enumerate(windows):
        part = piece(window).narrow(dim, 0, window.stop - window.start)
        if len(windows) == 1:
            return part
        if number == 0:
            shape = list(part.shape)
            shape[dim] = windows[-1].stop
            total = part.new_zeros(shape)
            weights = part.new_zeros([size if axis == dim else 1 for axis, size in enumerate(shape)])
        before = windows[number - 1].stop - window.start if number else 0
        after = window.stop - windows[number + 1].start if number + 1 < len(windows) else 0
        fades = _fades(part, before, after, dim)
        total.narrow(dim, window.start, window.stop - window.start).add_(part * fades)
        weights.narrow(dim, window.start, window.stop - window.start).add_(fades)
    return total / weights


def _fades(like: Tensor, before: int, after: int, dim: int) -> Tensor:
    """Weights that rise over the first `before` and fall over the last `after` places; two neighbours' sum is 1."""
    length = like.shape[dim]
    places = torch.arange(1, length + 1, dtype=like.dtype, device=like.device)
    rise, fall = places / (before + 1), (length + 1 - places) / (after + 1)
    weights = torch.minimum(rise, fall).clamp_max(1)
    shape = [1] * like.ndim
    shape[dim] = length
    return weights.view(shape)


def in_windows(predict: Callable[[Tensor, Tensor], Tensor], windows: Sequence[Window], z: Tensor, prompt: Tensor) -> Tensor:
    """predict(z, prompt) window by window along axis 2, cross-faded (Bar-Tal et al., MultiDiffusion, ICML 2023).

    Several windows are computed again for the backward pass.
    """

    def piece(window: Window) -> Tensor:
        return checkpointed(predict, z[:, :, window.start : window.stop], prompt, when=len(windows) > 1)

    return blend(windows, piece, dim=2)
