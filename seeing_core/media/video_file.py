"""A video on disk, read frame by frame: memory holds the frames asked for, never the whole video."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import av
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .timing import Timing, picture_stream, read_timing

PLAUSIBLE_ASPECT = 0.1, 10.0  # of a pixel; some files state nonsense


@dataclass(frozen=True)
class VideoFile:
    """The first picture stream of a file, or of bytes in memory, as a player shows it: when, which way up, and how wide.

    `start_s` and `length_s` (0: to the end) choose a part.
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
        if picture_stream(container) is None:
            container.close()
            raise InputError(self._name, "a file without a picture stream", "a video file")
        return container

    @cached_property
    def timing(self) -> Timing:
        """Of the whole file, from packet headers. Raises InputError when it has no frame."""
        return read_timing(self.open, self._name)

    @cached_property
    def _kept(self) -> Tensor:
        """Indices (into the whole file) of the frames in the chosen part."""
        times, end = self.timing.times_s, self.timing.end_s
        stop = min(self.start_s + self.length_s, end) if self.length_s else end
        kept = torch.nonzero((times >= self.start_s - 1e-6) & (times < stop - 1e-6)).flatten()
        if len(kept) == 0:
            part = f"{self.start_s:g} s to {stop:g} s"
            raise InputError(self._name, f"no frame from {part}", f"a part within its {end:g} s")
        return kept

    @property
    def clock_start_s(self) -> float:
        """When the first of the chosen frames appears in the file's own clock, which its sound shares; in seconds."""
        return self.timing.start_s + float(self.timing.times_s[self._kept[0]])

    @property
    def duration_s(self) -> float:
        end = self.timing.end_s
        stop = min(self.start_s + self.length_s, end) if self.length_s else end
        return stop - float(self.timing.times_s[self._kept[0]])

    @cached_property
    def times_s(self) -> Tensor:
        times = self.timing.times_s[self._kept]
        return times - times[0]

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) as stored, before it is turned or made square."""
        with self.open() as container:
            stream = picture_stream(container)
            return stream.width, stream.height

    def check_whole(self) -> None:
        """Raises InputError when the file holds fewer frames than its header says: it was cut off."""
        with self.open() as container:
            declared = picture_stream(container).frames
        stored = len(self.timing.packets)
        if stored < declared:
            raise InputError(self._name, f"a file that breaks off ({stored} of {declared} frames)", "a whole file")

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """The frames with these rising indices (of the chosen part), each (3, H, W) float, 0..1, as it is to be seen.

        For one that nothing can decode the one before it stands, as in a player. Raises InputError when the file breaks off.
        """
        wanted = [int(self._kept[index]) for index in indices]
        with self.open() as container:
            stream = picture_stream(container)
            stream.thread_type = "AUTO"
            decoded = self._numbered(container, stream)
            number, frame, before = -1, None, None
            for target in wanted:
                try:
                    while number < target:
                        before, (number, frame) = frame, next(decoded)
                except (av.error.FFmpegError, StopIteration) as error:
                    raise InputError(
                        self._name, f"a file whose frame {target} cannot be decoded", "a whole video file"
                    ) from error
                yield upright(before if before is not None and number > target else frame, stream.sample_aspect_ratio)

    def _numbered(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[tuple[int, av.VideoFrame]]:
        """Each frame of the file that is shown, with its index."""
        stamps = self.timing.stamps
        for count, frame in enumerate(container.decode(stream)):
            if stamps is None:
                yield count, frame
            elif frame.pts is not None and frame.pts >= int(stamps[0]):
                yield int(torch.searchsorted(stamps, frame.pts, right=True)) - 1, frame


def upright(frame: av.VideoFrame, pixel_aspect: Fraction | None = None) -> Tensor:
    """A decoded frame as a player shows it: turned or mirrored as the file says, with square pixels. (3, H, W), 0..1."""
    aspect = float(pixel_aspect or 1)
    width, height = frame.width, frame.height
    if PLAUSIBLE_ASPECT[0] <= aspect <= PLAUSIBLE_ASPECT[1]:
        width, height = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    rgb = torch.from_numpy(frame.reformat(width=width, height=height, format="rgb24").to_ndarray())  # (H, W, 3)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()  # x' = ax + cy, y' = bx + dy
        turned = abs(b) > abs(a)
        x, y = (c, b) if turned else (a, d)
        rgb = rgb.transpose(0, 1) if turned else rgb
        rgb = rgb.flip([axis for axis, sign in ((1, x), (0, y)) if sign < 0])
    return rgb.permute(2, 0, 1).float() / 255
