"""Pictures and sound as values: `VideoFrames` and `Waveform`, and `Video`, what the method asks of a moving picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError, check_number

Segment = tuple[float, float]
"""A part of a video or of audio: its start and end in seconds."""

DURATION_RANGE_S = (0.3, 3600.0)
FPS_RANGE = (0.01, 1000.0)


class Video(Protocol):
    """A moving picture whose frames can be fetched one by one, in memory (`VideoFrames`) or on disk (`VideoFile`)."""

    @property
    def duration_s(self) -> float:
        """Length in seconds, the last frame's own time included."""

    @property
    def times_s(self) -> Tensor:
        """(N,) float64, the time each frame appears, in seconds from the start, rising."""

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """The frames with these rising indices, each (3, H, W), 0..1, one at a time."""


@dataclass(frozen=True)
class VideoFrames:
    """Frames in memory.

    pixels: (N, 3, H, W) float, 0..1.  fps: frames per second.
    Raises InputError on wrong shapes, NaN or Inf in the frames, or an fps that is not a usable number.
    """

    pixels: Tensor
    fps: float

    def __post_init__(self) -> None:
        check_number("fps", self.fps, *FPS_RANGE, unit="frames per second")
        if self.pixels.ndim != 4 or self.pixels.shape[1] != 3 or 0 in self.pixels.shape[2:]:
            raise InputError("frames", f"a tensor of shape {tuple(self.pixels.shape)}", "(N, 3, H, W)")
        if len(self.pixels) == 0:
            raise InputError("frames", "0 frames", "at least one frame")
        if not torch.isfinite(self.pixels).all():
            raise InputError("frames", "NaN or infinite pixels", "finite values from 0 to 1")

    @property
    def duration_s(self) -> float:
        return len(self.pixels) / self.fps

    @property
    def times_s(self) -> Tensor:
        return torch.arange(len(self.pixels), dtype=torch.float64) / self.fps

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        return (self.pixels[index].float() for index in indices)


@dataclass(frozen=True)
class Waveform:
    """Sound in memory.  samples: (channels, n) float, -1..1.  rate_hz: samples per second."""

    samples: Tensor
    rate_hz: int

    def __post_init__(self) -> None:
        check_number("sample rate", self.rate_hz, 1, 1_000_000, unit="Hz")
        if self.samples.ndim != 2 or 0 in self.samples.shape:
            shape = tuple(self.samples.shape)
            raise InputError("audio", f"a tensor of shape {shape}", "(channels, samples), with at least one sample")
        if not torch.isfinite(self.samples).all():
            raise InputError("audio", "NaN or infinite samples", "finite values from -1 to 1")

    @property
    def duration_s(self) -> float:
        return self.samples.shape[-1] / self.rate_hz


def check_duration(duration_s: float) -> float:
    """The duration in seconds. Raises InputError outside 0.3 s to one hour, on NaN and on infinity."""
    return check_number("duration", duration_s, *DURATION_RANGE_S, unit="seconds")


def fit_length(samples: Tensor, length: int) -> Tensor:
    """`samples` (..., n) cut, or padded with silence, at its end to (..., length)."""
    return torch.nn.functional.pad(samples, (0, length - samples.shape[-1]))
