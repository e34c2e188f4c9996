"""Audio at another rate."""

from __future__ import annotations

import torch
from torch import Tensor

from .types import Waveform


def mono(waveform: Waveform, rate_hz: int) -> Tensor:
    """(n,) samples at `rate_hz`: channels averaged, resampled."""
    return resample(waveform.samples.mean(0, keepdim=True), waveform.rate_hz, rate_hz)[0]


def resample(samples: Tensor, rate_hz: int, new_rate_hz: int) -> Tensor:
    """(channels, n) -> (channels, round(n * new / old)), on the CPU."""
    import soxr

    if rate_hz == new_rate_hz:
        return samples
    return torch.from_numpy(soxr.resample(samples.detach().cpu().float().numpy().T, rate_hz, new_rate_hz).T.copy())


def resample_differentiable(samples: Tensor, rate_hz: int, new_rate_hz: int) -> Tensor:
    """(..., n) -> (..., n'), differentiable."""
    if rate_hz == new_rate_hz:
        return samples
    from torchaudio.functional import resample as resampled

    return resampled(samples, rate_hz, new_rate_hz)
