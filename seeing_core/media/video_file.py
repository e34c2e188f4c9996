"""A video on disk, read frame by frame: memory holds the frames asked for, never the whole video."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import av
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class VideoFile:
    """The first picture stream of a file, or of bytes in memory; frame times come from its timestamps.

    So a video of variable frame rate is timed right. `start_s` and `length_s` (0: to the end) choose a part.
    Raises InputError if the file cannot be read, has no picture stream, or has no frame in that part.
    """

    source: str | io.BytesIO
    start_s: float = 0.0
    length_s: float = 0.0
    _name: str = field(init=False, default="video")

    def __post_init__(self) -> None:
        if isinstance(self.source, str):
            object.__setattr__(self, "_name", f"video file '{self.source}'")

    def open(self) -> av.container.InputContainer:
        if isinstance(self.source, io.BytesIO):
            self.source.seek(0)
        try:
            container = av.open(self.source, mode="r")
        except (av.error.FFmpegError, OSError) as error:
            raise InputError(self._name, f"something that cannot be read ({error})", "a video file") from error
        if not container.streams.video:
            container.close()
            raise InputError(self._name, "a file without a picture stream", "a video file")
        return container

    @cached_property
    def _index(self) -> tuple[Tensor, float]:
        """Times of all frames (N,) and the end of the last one, in the file's own clock, from packet headers."""
        with self.open() as container:
            stream = container.streams.video[0]
            stamps = [(p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None and p.size]
            if not stamps:
                raise InputError(self._name, "0 frames", "at least two frames")
            stamps.sort()
            scale = float(stream.time_base)
            rate = float(stream.average_rate or 0)
        pts = torch.tensor([s[0] for s in stamps], dtype=torch.float64)
        last = stamps[-1][1] * scale or (1 / rate if rate else 0.0)
        first = float(pts[0])
        return (pts - first) * scale, float(pts[-1] - first) * scale + last

    @cached_property
    def _kept(self) -> Tensor:
        """Indices (into the whole file) of the frames in the chosen part."""
        times, end = self._index
        stop = min(self.start_s + self.length_s, end) if self.length_s else end
        kept = torch.nonzero((times >= self.start_s - 1e-6) & (times < stop - 1e-6)).flatten()
        if len(kept) == 0:
            part = f"{self.start_s:g} s to {stop:g} s"
            raise InputError(self._name, f"no frame from {part}", f"a part within its {end:g} s")
        return kept

    @cached_property
    def clock_start_s(self) -> float:
        """When the first of the chosen frames appears in the file's own clock, which its sound shares; in seconds."""
        with self.open() as container:
            stream = container.streams.video[0]
            file_start_s = float((stream.start_time or 0) * stream.time_base)
        return file_start_s + float(self._index[0][self._kept[0]])

    @property
    def duration_s(self) -> float:
        end = self._index[1]
        stop = min(self.start_s + self.length_s, end) if self.length_s else end
        return stop - float(self._index[0][self._kept[0]])

    @cached_property
    def times_s(self) -> Tensor:
        times = self._index[0][self._kept]
        return times - times[0]

    def check_whole(self) -> None:
        """Raises InputError when the file holds fewer frames than its header says: it was cut off."""
        with self.open() as container:
            declared = container.streams.video[0].frames
        if len(self._index[0]) < declared:
            raise InputError(self._name, f"a file that breaks off ({len(self._index[0])} of {declared} frames)", "a whole file")

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """The frames with these rising indices (of the chosen part), each (3, H, W) float, 0..1.

        Raises InputError when the file breaks off before one of them.
        """
        wanted = [int(self._kept[index]) for index in indices]
        with self.open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            numbered = enumerate(container.decode(stream))
            for target in wanted:
                try:
                    frame = next(frame for number, frame in numbered if number == target)
                except (av.error.FFmpegError, StopIteration) as error:
                    raise InputError(
                        self._name, f"a file whose frame {target} cannot be decoded", "a whole video file"
                    ) from error
                rgb = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))  # (H, W, 3)
                yield torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
