"""What the loss takes of a predicted x0: decoded as far as needed, embedded by the binder, or as a curve of its events.

Something long is compared window by window, each window by the mean of its own segments, so that memory is that of one window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..binders.base import Binder, Embedded
from ..generators.base import AudioDecoder, VideoDecoder
from ..media.resample import resample_differentiable
from ..media.types import Segment
from .loop import Preview
from .sync import Curve, motion_curve, onset_curve


class View(Protocol):
    """The x0 of one generator as the terms of a loss take it."""

    def parts(self, windows: Sequence[int], *, whole: bool) -> list[int]:
        """What has to be decoded for these windows; all there is for terms that look at the `whole`."""

    def decode(self, x0: Tensor, parts: Sequence[int]) -> Tensor:
        """(B, len(parts), ...), differentiable."""

    def embed(self, decoded: Tensor, parts: Sequence[int], window: int) -> tuple[Embedded, Preview]:
        """The window's segments, clips (B, S, D), and what was embedded."""

    def curve(self, decoded: Tensor) -> Curve:
        """When things start, of all there is."""


@dataclass(frozen=True)
class AudioView:
    """What a generator's x0 sounds like. Its parts are the generator's windows.

    clips: how many of the binder's segments of a window are compared; 0 is all.
    """

    generator: AudioDecoder
    binder: Binder
    clips: int = 0

    def all_segments_s(self) -> list[list[Segment]]:
        """Each window's segments in seconds from the start of the whole."""
        starts_s = [start_s for start_s, _ in self.generator.windows_s]
        return [[(start_s + a, start_s + b) for a, b in self._clips(window)] for window, start_s in enumerate(starts_s)]

    def _clips(self, window: int) -> list[Segment]:
        """The window's segments in seconds from its own start."""
        start_s, stop_s = self.generator.windows_s[window]
        return spread(self.binder.clip_segments(stop_s - start_s), self.clips)

    def parts(self, windows: Sequence[int], *, whole: bool) -> list[int]:
        return list(windows)  # a loss with terms on the whole asks for all windows

    def decode(self, x0: Tensor, parts: Sequence[int]) -> Tensor:
        return self.generator.decode(x0, parts)

    def embed(self, decoded: Tensor, parts: Sequence[int], window: int) -> tuple[Embedded, Preview]:
        waveform = self.generator.waveform(decoded[:, parts.index(window)], window).mean(1)  # (B, n)
        samples = resample_differentiable(waveform, self.generator.rate_hz, self.binder.rate_hz)
        embedded = self.binder.embed_audio(samples, self._clips(window))
        return embedded, Preview("audio", waveform.detach(), self.generator.rate_hz)

    def bands(self, decoded: Tensor) -> Tensor:
        """(B, T, M) log energies of all there is."""
        return self.generator.onset_features(decoded)

    def curve(self, decoded: Tensor) -> Curve:
        return onset_curve(self.bands(decoded), self.generator.onset_start_s, self.generator.onset_step_s)


@dataclass(frozen=True)
class VideoView:
    """What a generator's x0 looks like. Its parts are frames; only those that the terms look at are decoded.

    windows: the segments of each window, in seconds from the start of the video.
    """

    generator: VideoDecoder
    binder: Binder
    windows: Sequence[Sequence[Segment]]
    _looks: list[tuple[list[int], Tensor]] = field(init=False)
    _on_device: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        times_s = torch.arange(self.generator.frames, dtype=torch.float64) / self.generator.fps
        looks = [self.binder.sample_frame_indices(times_s, segments) for segments in self.windows]
        object.__setattr__(self, "_looks", looks)

    def parts(self, windows: Sequence[int], *, whole: bool) -> list[int]:
        if whole:
            return list(range(self.generator.frames))
        return sorted({frame for window in windows for frame in self._looks[window][0]})

    def decode(self, x0: Tensor, parts: Sequence[int]) -> Tensor:
        return self.generator.decode(x0, parts)

    def embed(self, decoded: Tensor, parts: Sequence[int], window: int) -> tuple[Embedded, Preview]:
        wanted, index = self._index(window, decoded.device)
        frames = decoded if len(parts) == len(self._looks[window][0]) else decoded[:, wanted]
        preprocessed = self.binder.preprocess_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        embedded = self.binder.embed_frames(preprocessed, index)
        return embedded, Preview("vision", frames.detach(), self.generator.fps)

    def curve(self, decoded: Tensor) -> Curve:
        return motion_curve(decoded, self.generator.fps)

    def _index(self, window: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The window's frames, and each segment's positions among them: copied to the device once, not at every step."""
        if (window, device) not in self._on_device:
            wanted, index = self._looks[window]
            self._on_device[window, device] = torch.tensor(wanted, device=device), index.to(device)
        return self._on_device[window, device]


def video_windows(binder: Binder, duration_s: float, clips: int = 0, longest_s: float = 10.24) -> list[list[Segment]]:
    """The binder's segments of a long video in windows of at most `longest_s`, each compared by its own mean.

    clips: how many segments of a window are compared; 0 is all.
    """
    count = max(1, -int(-duration_s // longest_s))
    length_s = duration_s / count
    segments = spread(binder.clip_segments(length_s), clips)
    return [[(i * length_s + a, i * length_s + b) for a, b in segments] for i in range(count)]


def spread(segments: list[Segment], count: int) -> list[Segment]:
    """`count` of the segments, evenly chosen; all of them for 0 or where there are no more."""
    if not 0 < count < len(segments):
        return segments
    return [segments[int((i + 0.5) * len(segments) / count)] for i in range(count)]
