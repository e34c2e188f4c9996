"""Small pictures of what forms: a strip of frames, a waveform above its spectrogram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from .binders.fbank import fbank

WIDTH, WAVE_HEIGHT, SPECTRUM_HEIGHT = 512, 96, 160
FRAMES = 4
PAPER, INK = (24, 24, 32), (120, 200, 255)
HEAT = np.array([(10, 8, 32), (90, 20, 110), (200, 60, 90), (250, 150, 60), (255, 245, 190)], dtype=np.float32)


def preview(previews: Sequence[Tensor]) -> Image.Image:
    """The first sample of each track: frames (B, n, 3, H, W) as a strip, samples (B, n) as waveform and spectrogram."""
    rows = [frame_strip(first) if (first := track[0]).ndim == 4 else sound_picture(first) for track in previews]
    whole = Image.new("RGB", (WIDTH, sum(row.height for row in rows)))
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    return whole


def frame_strip(frames: Tensor) -> Image.Image:
    """(n, 3, H, W), about 0..1 -> up to four of them side by side, evenly chosen, WIDTH pixels wide."""
    count = min(FRAMES, len(frames))
    chosen = frames[[round(i * (len(frames) - 1) / max(count - 1, 1)) for i in range(count)]]
    pixels = (chosen.float().clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).cpu().numpy()  # (count, H, W, 3)
    strip = Image.fromarray(np.concatenate(list(pixels), 1))
    return strip.resize((WIDTH, max(1, round(strip.height * WIDTH / strip.width))))


def sound_picture(samples: Tensor) -> Image.Image:
    """(n,) at 16 kHz -> a picture: the waveform above its log-mel spectrogram, time from left to right."""
    return Image.fromarray(np.concatenate([_wave(samples.cpu().float()), _spectrum(samples.cpu().float())]))


def _wave(samples: Tensor) -> np.ndarray:
    """(WAVE_HEIGHT, WIDTH, 3): the span between lowest and highest sample of each column."""
    columns = np.array_split(samples.numpy(), WIDTH)
    middle = WAVE_HEIGHT // 2
    picture = np.full((WAVE_HEIGHT, WIDTH, 3), PAPER, dtype=np.uint8)
    for x, column in enumerate(columns):
        if len(column):
            high, low = (int(np.clip(middle - v * (middle - 1), 0, WAVE_HEIGHT - 1)) for v in (column.max(), column.min()))
            picture[high : low + 1, x] = INK
    return picture


def _spectrum(samples: Tensor) -> np.ndarray:
    """(SPECTRUM_HEIGHT, WIDTH, 3): low sounds at the bottom, loud ones bright, 60 dB from dark to bright."""
    mels = fbank(samples).T.flip(0)  # (bins, frames)
    size = (SPECTRUM_HEIGHT, WIDTH)
    mels = interpolate(mels[None, None], size=size, mode="bilinear")[0, 0].numpy()
    level = np.clip(1 + (mels - mels.max()) / 13.8, 0, 1) * (len(HEAT) - 1)  # 60 dB of power is ln(10^6) = 13.8
    low = np.minimum(level.astype(int), len(HEAT) - 2)
    part = (level - low)[..., None]
    return (HEAT[low] * (1 - part) + HEAT[low + 1] * part).astype(np.uint8)
