"""Small pictures of what forms: a strip of frames, a waveform above its spectrogram, the loss so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import interpolate

from ..binders.fbank import fbank
from ..guidance.loop import Preview
from ..media.resample import resample
from .images import stacked

WIDTH, WAVE_HEIGHT, SPECTRUM_HEIGHT, CURVE_HEIGHT = 512, 96, 160, 84
FRAMES = 4
WORDS_HEIGHT = 32  # of the curve's picture
SPECTRUM_HZ = 16000
QUIET = -2.0  # log-mel; what never gets louder than this is drawn dark, silence (-15.9) black
PAPER, INK, LOSS, FAINT = (24, 24, 32), (120, 200, 255), (255, 203, 107), (90, 90, 110)
HEAT = np.array([(10, 8, 32), (90, 20, 110), (200, 60, 90), (250, 150, 60), (255, 245, 190)], dtype=np.float32)


def preview(previews: Sequence[Preview], losses: Sequence[tuple[int, float]], steps: int) -> Image.Image:
    """The first sample of each medium: frames as a strip, audio as waveform and spectrogram.

    Below them the loss so far, if there is any: `losses` are pairs of denoise step and loss, of `steps` steps in all.
    """
    rows = [
        frame_strip(one.data[0]) if one.medium == "vision" else sound_picture(one.data[0], round(one.rate)) for one in previews
    ]
    rows += [loss_curve(losses, steps)] if losses else []
    return stacked(rows)


def loss_curve(losses: Sequence[tuple[int, float]], steps: int) -> Image.Image:
    """Pairs of denoise step and loss -> a small curve, its last value in words; the width stands for all `steps`."""
    picture = Image.new("RGB", (WIDTH, CURVE_HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    low, high = min(loss for _, loss in losses), max(loss for _, loss in losses)
    scale = (CURVE_HEIGHT - WORDS_HEIGHT - 10) / max(high - low, 1e-6)
    points = [((step + 0.5) / steps * WIDTH, WORDS_HEIGHT + (high - loss) * scale) for step, loss in losses]
    draw.line([(0, CURVE_HEIGHT - 6), (WIDTH, CURVE_HEIGHT - 6)], fill=FAINT)
    draw.line(points, fill=LOSS, width=2)
    x, y = points[-1]
    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=LOSS)
    step, loss = losses[-1]
    draw.text((6, 3), f"step {step + 1} of {steps}   distance to the target {loss:.3f}", fill=LOSS, font_size=20)
    return picture


def frame_strip(frames: Tensor) -> Image.Image:
    """(n, 3, H, W), about 0..1 -> up to four of them side by side, evenly chosen, WIDTH pixels wide."""
    count = min(FRAMES, len(frames))
    chosen = frames[[round(i * (len(frames) - 1) / max(count - 1, 1)) for i in range(count)]]
    pixels = (chosen.float().clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).cpu().numpy()  # (count, H, W, 3)
    strip = Image.fromarray(np.concatenate(list(pixels), 1))
    return strip.resize((WIDTH, max(1, round(strip.height * WIDTH / strip.width))))


def sound_picture(samples: Tensor, rate_hz: int = SPECTRUM_HZ) -> Image.Image:
    """(n,) -> a picture: the waveform above its log-mel spectrogram, up to 8 kHz, time from left to right."""
    narrow = resample(samples[None].float(), rate_hz, SPECTRUM_HZ)[0].cpu()
    return Image.fromarray(np.concatenate([_wave(samples.cpu().float()), _spectrum(narrow)]))


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
    """(n,) at 16 kHz -> (SPECTRUM_HEIGHT, WIDTH, 3): low sounds at the bottom, loud ones bright, 60 dB from dark to bright."""
    mels = fbank(samples).T.flip(0)  # (bins, frames)
    size = (SPECTRUM_HEIGHT, WIDTH)
    mels = interpolate(mels[None, None], size=size, mode="bilinear")[0, 0].numpy()
    loudest = max(mels.max(), QUIET)
    level = np.clip(1 + (mels - loudest) / 13.8, 0, 1) * (len(HEAT) - 1)  # 60 dB of power is ln(10^6) = 13.8
    low = np.minimum(level.astype(int), len(HEAT) - 2)
    part = (level - low)[..., None]
    return (HEAT[low] * (1 - part) + HEAT[low + 1] * part).astype(np.uint8)
