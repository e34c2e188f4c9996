"""Audio at another rate."""

from __future__ import annotations

import torch
from torch import Tensor

from .types import Waveform, fit_length


def mono(waveform: Waveform, rate_hz: int) -> Tensor:
    """(n,) samples at `rate_hz`: channels averaged, resampled."""
    return resample(waveform.samples.mean(0, keepdim=True), waveform.rate_hz, rate_hz)[0]


def resample(samples: Tensor, rate_hz: int, new_rate_hz: int) -> Tensor:
    """(channels, n) -> (channels, round(n * new / old)), at least one sample, on the CPU, by SoX's resampler."""
    import soxr

    if rate_hz == new_rate_hz:
        return samples
    length = max(1, round(samples.shape[-1] * new_rate_hz / rate_hz))
    made = soxr.resample(samples.detach().cpu().float().numpy().T, rate_hz, new_rate_hz)
    return fit_length(torch.from_numpy(made.T.copy()), length)


def resample_differentiable(samples: Tensor, rate_hz: int, new_rate_hz: int) -> Tensor:
    """(..., n) -> (..., ceil(n * new / old)), differentiable: what a generator makes, at the rate that a binder hears.

    torchaudio's, whose filter table is as large as the rates without their common factor: small for the rates of generators.
    """
    if rate_hz == new_rate_hz:
        return samples
    from torchaudio.functional import resample as resampled

    return resampled(samples, rate_hz, new_rate_hz)
