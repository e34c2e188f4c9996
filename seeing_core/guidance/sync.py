"""When things happen in the making: the event terms, which ImageBind's mean over clips cannot give.

A curve says how strongly something starts: for sound the spectral flux of the log-mel that AudioLDM's VAE decodes (Bello et
al., IEEE TSAP 2005; neither vocoder nor binder takes part), for film the change of its shapes from frame to frame. The terms are 1
minus Pearson's correlation of such a curve with wanted events, or with the other medium's curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv1d, interpolate, pad

from ..generators.audioldm import ConditionedAudioLDM
from ..errors import InputError
from ..metrics.motion import Motion
from ..generators.animatediff import ConditionedAnimateDiff
from ..generators.windows import blend

# Widths that both curves are smoothed to: the narrow one places exactly, the wide one tolerates a lag and so pulls an event
# that is still far away. In seconds, and at least in steps of the curve.
SPREADS = ((0.03, 0.5), (0.1, 1.0))
FLOW_FLOOR = 0.1  # pixels: what AV-Align takes for a movement
SHAPE_SIDE, SHAPE_WINDOW = 64, 9  # pixels: frames are reduced to this short side, and compared in windows of this one
FAINT = 0.02  # contrast, of 1: below it a window counts as empty, so that noise is no movement


class Curve(Protocol):
    """How strongly something starts, over time: value i belongs to start_s + i * step_s, in seconds."""

    @property
    def start_s(self) -> float: ...

    @property
    def step_s(self) -> float: ...

    def __call__(self, decoded: Tensor) -> Tensor:
        """What the task's x0 decodes to, (B, ...) -> (B, T), differentiable."""


@dataclass(frozen=True)
class OnsetStrength:
    """Of the sound that a task makes: how much louder the bands get from one mel frame to the next."""

    task: ConditionedAudioLDM

    @property
    def step_s(self) -> float:
        return self.task.model.hop / self.task.model.rate_hz

    @property
    def start_s(self) -> float:
        return self.step_s

    def __call__(self, log_mels: Tensor) -> Tensor:
        """log_mels: of each window, (B, windows, T, 64), `AudioTask.decode_mels`."""
        model = self.task.model
        pieces = {window.scaled(model.mel_per_latent): number for number, window in enumerate(self.task.windows)}
        log_mel = blend(list(pieces), lambda window: log_mels[:, pieces[window]], dim=1)
        return spectral_flux(log_mel[:, : math.ceil(self.task.length / model.hop)])


@dataclass(frozen=True)
class FrameChange:
    """Of the film that a task makes: how much its shapes change from one frame to the next."""

    task: ConditionedAnimateDiff

    @property
    def step_s(self) -> float:
        return 1 / self.task.fps

    @property
    def start_s(self) -> float:
        return self.step_s / 2

    def __call__(self, frames: Tensor) -> Tensor:
        """frames: all of them, (B, T, 3, H, W), `VideoTask.decode_frames`."""
        return shape_change(frames)


@dataclass(frozen=True)
class AtTimes:
    """1 - correlation of a track's curve with wanted events; 0 for a sample without any.

    track: the place of what the track decodes to.  times_s: for each sample of the batch, or one for all, in seconds.
    """

    curve: Curve
    track: int
    times_s: Sequence[Sequence[float]]

    def __call__(self, decoded: Sequence[Tensor]) -> Tensor:
        strength = self.curve(decoded[self.track])
        wanted = self._wanted(strength)
        fits = [correlation(blurred(strength, width), blurred(wanted, width)) for width in widths(self.curve.step_s)]
        return (1 - torch.stack(fits).mean(0)) * (wanted.amax(-1) > 0)

    def _wanted(self, strength: Tensor) -> Tensor:
        """(B, T): 1 where an event is."""
        rows = list(self.times_s) * (len(strength) if len(self.times_s) == 1 else 1)
        wanted = torch.zeros_like(strength)
        for row, times in zip(wanted, rows, strict=True):
            places = [round((time - self.curve.start_s) / self.curve.step_s) for time in times]
            row[[max(place, 0) for place in places if -1 <= place < len(row)]] = 1.0
        return wanted


@dataclass(frozen=True)
class Together:
    """1 - correlation of a film's change and a sound's onset strength. decoded: the picture's, the sound's."""

    picture: FrameChange
    sound: OnsetStrength

    def __call__(self, decoded: Sequence[Tensor]) -> Tensor:
        change, strength = self.picture(decoded[0]), self.sound(decoded[1])
        times = self.picture.start_s + self.picture.step_s * torch.arange(change.shape[1])
        places = ((times - self.sound.start_s) / self.sound.step_s).round().long().clamp(0, strength.shape[1] - 1)
        fits = [correlation(blurred(change, width), blurred(strength, width * self.picture.step_s / self.sound.step_s)[:, places])
                for width in widths(self.picture.step_s)]
        return 1 - torch.stack(fits).mean(0)


def spectral_flux(log_mel: Tensor) -> Tensor:
    """log-mel (B, T, M) -> (B, T - 1): how much louder the bands get, averaged; value i is the rise to frame i + 1."""
    return log_mel.diff(dim=1).relu().mean(-1)


def shape_change(frames: Tensor) -> Tensor:
    """Frames (B, T, 3, H, W), 0..1 -> (B, T - 1): how much shapes change from each frame to the next, 0 to 2. Differentiable.

    1 minus the structure term of SSIM (Wang et al., IEEE TIP 2004), averaged over the picture. It sees what moves, and is blind to
    brightness and contrast: a term that sees these teaches films to flash instead of to move.
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


def widths(step_s: float) -> list[float]:
    """`SPREADS` in steps of a curve."""
    return [max(spread_s / step_s, steps) for spread_s, steps in SPREADS]


def blurred(curve: Tensor, width: float) -> Tensor:
    """(B, T) smoothed by a Gaussian of standard deviation `width`, in steps of T. Differentiable."""
    reach = math.ceil(3 * width)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=curve.device) / width) ** 2).to(curve)
    return conv1d(pad(curve[:, None], (reach, reach)), (weights / weights.sum())[None, None])[:, 0]


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of (B, T) and (B, T) over the last axis, (B,); 0 where either is constant."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-8)


def motion_peaks(motion: Motion) -> list[float]:
    """Seconds at which a film moves most: where things can be expected to sound. A movement lies between two frames."""
    return [max(0.0, time_s - 0.5 / motion.fps) for time_s in motion.peaks_s(FLOW_FLOOR).tolist()]


def parse_times(words: str, duration_s: float) -> list[float]:
    """Seconds, rising, from "0.5, 1.2". Raises InputError for anything else and for times outside 0 .. duration_s."""
    parts = [part for part in words.replace(";", ",").replace("\n", ",").split(",") if part.strip()]
    try:
        times = sorted({float(part) for part in parts})
    except ValueError:
        raise InputError("event times", f"'{words.strip()}'", "seconds, separated by commas",
                         "For example: 0.5, 1.2") from None
    wrong = [time for time in times if not 0 <= time < duration_s]  # NaN too
    if wrong:
        raise InputError("event times", f"{wrong[0]:g} s", f"times from 0 to the end at {duration_s:.2f} s")
    return times
