"""When things happen in what is made: curves of onset strength and motion, which a binder's mean over segments cannot give.

A curve says how strongly something starts: for audio the spectral flux of log band energies (Bello et al., IEEE TSAP 2005), for
video the change of its shapes from frame to frame. Terms compare such a curve with wanted events, or with the other medium's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv1d, interpolate, log_softmax, pad

from ..binders.base import at_moments
from ..errors import InputError

# Widths that both curves are smoothed to: the narrow one places exactly, the wide one tolerates a lag and so pulls an event
# that is still far away. In seconds, and at least in steps of the curve.
SPREADS = ((0.03, 0.5), (0.1, 1.0))
SHAPE_SIDE, SHAPE_WINDOW = 64, 9  # pixels: frames are reduced to this short side, and compared in windows of this one
CONTRAST = 0.1  # of correlations: the temperature of `moments_distance`
FAINT = 0.02  # contrast, of 1: below it a window counts as empty, so that noise is no movement


@dataclass(frozen=True)
class Curve:
    """strength: (B, T), differentiable.  Value i belongs to start_s + i * step_s, in seconds."""

    strength: Tensor
    start_s: float
    step_s: float

    @property
    def widths(self) -> list[float]:
        """`SPREADS` in steps of the curve."""
        return [max(spread_s / self.step_s, steps) for spread_s, steps in SPREADS]


def onset_curve(log_energies: Tensor, start_s: float, step_s: float) -> Curve:
    """(B, T, M) log energies of bands -> how much louder the bands get from one value to the next, averaged, (B, T - 1)."""
    return Curve(log_energies.diff(dim=1).relu().mean(-1), start_s, step_s)


def motion_curve(frames: Tensor, fps: float) -> Curve:
    """(B, T, 3, H, W), 0..1 -> how much shapes change from each frame to the next, (B, T - 1), each between two frames."""
    return Curve(shape_change(frames), 0.5 / fps, 1 / fps)


class EventTarget:
    """Wanted events, blurred as a curve is.  times_s: of each sample of the batch, or one for all, in seconds."""

    def __init__(self, times_s: Sequence[Sequence[float]], like: Curve) -> None:
        wanted = torch.zeros(like.strength.shape, dtype=like.strength.dtype)
        rows = list(times_s) * (len(wanted) if len(times_s) == 1 else 1)
        for row, times in zip(wanted, rows, strict=True):
            places = [round((time_s - like.start_s) / like.step_s) for time_s in times]
            row[[max(place, 0) for place in places if -1 <= place < len(row)]] = 1.0
        wanted = wanted.to(like.strength.device)
        self.blurred = [blurred(wanted, width) for width in like.widths]
        self.some = wanted.amax(-1) > 0

    def distance(self, curve: Curve) -> Tensor:
        """1 - correlation of the curve with the events, (B,); 0 for a sample without any."""
        fits = [
            correlation(blurred(curve.strength, width), wanted)
            for width, wanted in zip(curve.widths, self.blurred, strict=True)
        ]
        return (1 - torch.stack(fits).mean(0)) * self.some


def curves_correlation(coarse: Curve, fine: Curve) -> Tensor:
    """Correlation of two curves at the times of the coarser one, (B,)."""
    times = coarse.start_s + coarse.step_s * torch.arange(coarse.strength.shape[1], device=coarse.strength.device)
    places = ((times - fine.start_s) / fine.step_s).round().long().clamp(0, fine.strength.shape[1] - 1)
    fits = [
        correlation(blurred(coarse.strength, width), blurred(fine.strength, width * coarse.step_s / fine.step_s)[:, places])
        for width in coarse.widths
    ]
    return torch.stack(fits).mean(0)


def shape_change(frames: Tensor) -> Tensor:
    """Frames (B, T, 3, H, W), 0..1 -> (B, T - 1): how much shapes change from each frame to the next, 0 to 2. Differentiable.

    1 minus the structure term of SSIM (Wang et al., IEEE TIP 2004), averaged over the frame. It sees what moves, and is blind to
    brightness and contrast: a term that sees these teaches videos to flash instead of to move.
    """
    factor = SHAPE_SIDE / min(frames.shape[-2:])
    size = [round(side * factor) for side in frames.shape[-2:]]
    if factor < 1:
        frames = interpolate(frames.flatten(0, 1), size, mode="area").unflatten(0, frames.shape[:2])

    def local_mean(x: Tensor) -> Tensor:
        windows = avg_pool2d(x.flatten(0, 1), SHAPE_WINDOW, 1, SHAPE_WINDOW // 2, count_include_pad=False)
        return windows.unflatten(0, x.shape[:2])

    mean = local_mean(frames)
    variance = (local_mean(frames * frames) - mean * mean).clamp_min(0)
    covariance = local_mean(frames[:, :-1] * frames[:, 1:]) - mean[:, :-1] * mean[:, 1:]
    spread = (variance[:, :-1] * variance[:, 1:] + FAINT**8).sqrt()  # differentiable where a window is flat
    return (1 - (covariance + FAINT**2) / (spread + FAINT**2)).flatten(2).mean(-1)


def blurred(curve: Tensor, width: float) -> Tensor:
    """(B, T) smoothed by a Gaussian of standard deviation `width`, in steps of T. Differentiable."""
    reach = math.ceil(3 * width)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=curve.device) / width) ** 2).to(curve)
    return conv1d(pad(curve[:, None], (reach, reach)), (weights / weights.sum())[None, None])[:, 0]


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of (B, T) and (B, T) over the last axis, (B,); 0 where either is constant."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-8)


def moments_distance(a: Tensor, b: Tensor) -> Tensor:
    """(..., S, T, D), (..., S, U, D), of the same segments moment by moment -> (...): how little they fit at the same time.

    Contrast within each segment: cross-entropy of "at no offset" among all offsets of up to half the segment, by the correlation
    of the embeddings there; in units of an even guess, so that 1 is knowing nothing. Offsets of one moment are left out, since
    events fall between two. The mean over time is taken off: what something is says nothing of when. 0 for segments of less
    than four moments.
    """
    moments = max(a.shape[-2], b.shape[-2])
    if min(a.shape[-2], b.shape[-2]) < 4:
        return (a.sum((-3, -2, -1)) + b.sum((-3, -2, -1))) * 0
    a, b = (unit_over_time(at_moments(one, moments)) for one in (a, b))
    products = a @ b.transpose(-1, -2).flip(-1)  # (..., S, T, T)
    # Each row one place further to the right: columns are then offsets.
    skewed = pad(products, (0, moments)).flatten(-2)[..., :-moments].unflatten(-1, (moments, 2 * moments - 1))
    offsets = torch.arange(1 - moments, moments, device=a.device)
    fits = skewed.sum(-2) / (1 - offsets.abs() / moments)
    none, reach = moments - 1, moments // 2  # places of no offset and of the furthest
    parts = fits[..., none : none + 1], fits[..., none - reach : none - 1], fits[..., none + 2 : none + reach + 1]
    choices = torch.cat(parts, -1) / CONTRAST
    return (-log_softmax(choices, -1)[..., 0] / math.log(choices.shape[-1])).mean(-1)


def unit_over_time(embedded: Tensor) -> Tensor:
    """(..., T, D) without its mean over T, of length 1 as a whole."""
    moving = embedded - embedded.mean(-2, keepdim=True)
    return moving / moving.square().sum((-2, -1), keepdim=True).sqrt().clamp_min(1e-8)


def parse_times(text: str, duration_s: float) -> list[float]:
    """Seconds, rising, from "0.5, 1.2". Raises InputError for anything else and for times outside 0 .. duration_s."""
    parts = [part for part in text.replace(";", ",").replace("\n", ",").split(",") if part.strip()]
    try:
        times = sorted({float(part) for part in parts})
    except ValueError:
        raise InputError("event times", f"'{text.strip()}'", "seconds, separated by commas", "For example: 0.5, 1.2") from None
    wrong = [time_s for time_s in times if not 0 <= time_s < duration_s]  # NaN too
    if wrong:
        raise InputError("event times", f"{wrong[0]:g} s", f"times from 0 to the end at {duration_s:.2f} s")
    return times
