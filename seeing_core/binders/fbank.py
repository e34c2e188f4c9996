"""Kaldi's log-mel filter bank, batched and differentiable."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

FRAME = 400  # 25 ms at 16 kHz
HOP = 160  # 10 ms
FFT = 512
PREEMPHASIS = 0.97
LOWEST_HZ = 20.0


def fbank(samples: Tensor, *, bins: int = 128, rate_hz: int = 16000) -> Tensor:
    """(..., n) -> (..., frames, bins), frames = 1 + (n - 400) // 160; ln of mel energies.

    Equals torchaudio.compliance.kaldi.fbank(htk_compat=True, use_energy=False, window_type="hanning",
    dither=0, frame_length=25, frame_shift=10), for a whole batch at once. n < 400 gives 0 frames.
    """
    if samples.shape[-1] < FRAME:
        # No values, but a graph: a window too short for one frame has a gradient of 0, not none.
        return samples.sum(-1)[..., None, None].expand(*samples.shape[:-1], 0, bins)
    frames = samples.unfold(-1, FRAME, HOP)  # (..., frames, 400)
    frames = frames - frames.mean(-1, keepdim=True)
    previous = torch.cat([frames[..., :1], frames[..., :-1]], -1)
    window = torch.hann_window(FRAME, periodic=False, dtype=samples.dtype, device=samples.device)
    spectrum = torch.fft.rfft((frames - PREEMPHASIS * previous) * window, n=FFT)
    # Squares, not abs() ** 2: the gradient of abs() is not defined in silence.
    power = spectrum.real.square() + spectrum.imag.square()  # (..., frames, 257)
    banks = _mel_banks(bins, rate_hz, samples.dtype, samples.device)
    return (power[..., :-1] @ banks).clamp_min(torch.finfo(torch.float32).eps).log()


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # else the first caller's mode would be kept with the cached tensor
def _mel_banks(bins: int, rate_hz: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(256, bins), kept on the device: triangles equally wide on Kaldi's mel scale, 1127 ln(1 + f / 700), from 20 Hz to rate / 2."""

    def mel(hz: float) -> float:
        return 1127.0 * math.log(1.0 + hz / 700.0)

    # In single precision, as torchaudio does it: the narrow low triangles feel the rounding, up to 1e-4 of the result.
    low, step = mel(LOWEST_HZ), (mel(rate_hz / 2) - mel(LOWEST_HZ)) / (bins + 1)
    band = torch.arange(bins)
    left, centre, right = low + band * step, low + (band + 1.0) * step, low + (band + 2.0) * step
    fft_bin = 1127.0 * (1.0 + rate_hz / FFT * torch.arange(FFT // 2) / 700.0).log()[:, None]
    banks = torch.minimum((fft_bin - left) / (centre - left), (right - fft_bin) / (right - centre)).clamp_min(0)
    return banks.to(device, dtype)
