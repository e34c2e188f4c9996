"""Audio at another rate."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

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
    return _resampler(rate_hz, new_rate_hz, samples.dtype, samples.device)(samples)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # else the first caller's mode would be kept with the cached table
def _resampler(rate_hz: int, new_rate_hz: int, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Kept with its table on the device: the function of the same name makes and copies one at every call."""
    from torchaudio.transforms import Resample

    # Without a precision the table is made in double and kept in single.
    return Resample(rate_hz, new_rate_hz, dtype=None if dtype == torch.float32 else dtype).to(device)
