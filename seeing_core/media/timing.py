"""When each picture of a file is shown: by the times it is to be presented, not by the order in which it is stored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import av
import torch
from torch import Tensor

from ..errors import InputError

COVER = av.stream.Disposition.attached_pic
PROBED = 24  # frames: more than any codec holds back


@dataclass(frozen=True)
class Timing:
    """The pictures of a stream that are shown.

    start_s: when the first one appears, in the file's own clock, which its sound shares.  times_s: (N,) float64, when each
    appears, from there, rising.  end_s: when the last one has been shown, from there.
    stamps: (N,) int64, by which a decoded frame is recognised; None where the file's own are missing or wrong, so that frames
    must be counted.  packets: all that the file holds, in the order in which it does.
    """

    start_s: float
    times_s: Tensor
    end_s: float
    stamps: Tensor | None
    packets: tuple[Packet, ...]


class Packet(NamedTuple):
    """A stored picture. stamp, duration: in units of the stream's time base, None and 0 where the file does not say.

    hidden: decoded, but not shown, because an edit list says so.  whole: it can be decoded without those before it.
    """

    stamp: int | None
    duration: int
    hidden: bool
    whole: bool


def picture_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first picture stream that is no cover; None when there is none that can be decoded."""
    streams = (one for one in container.streams.video if not one.disposition & COVER and one.codec_context is not None)
    return next(streams, None)


def read_timing(open_file: Callable[[], av.container.InputContainer], name: str) -> Timing:
    """Reads the headers of all packets, and decodes a few frames. name: of the file. Raises InputError when it has no frame."""
    with open_file() as container:
        stream = picture_stream(container)
        packets = tuple(
            Packet(one.pts, one.duration or 0, one.is_discard, one.is_keyframe) for one in container.demux(stream) if one.size
        )
        shown = [packet for packet in packets if not packet.hidden]
        if not shown:
            raise InputError(name, "0 frames", "at least two frames")
        stamps = [packet.stamp for packet in shown if packet.stamp is not None]
        if len(set(stamps)) < len(shown):  # some have none, or the same as others
            return _counted(stream, packets, shown)
        with open_file() as again:
            decoded = _first_decoded(again, PROBED if stream.codec_context.has_b_frames and stamps == sorted(stamps) else 1)
        if decoded != sorted(decoded):  # in AVI: when each was to be decoded, and not when it is to be shown
            return _counted(stream, packets, shown)
        return _stamped(container, stream, packets, shown, sorted(stamps), decoded)


def _stamped(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    packets: tuple[Packet, ...],
    shown: list[Packet],
    stamps: list[int],
    decoded: list[int],
) -> Timing:
    scale = float(stream.time_base)
    usual_s = next((packet.duration for packet in shown if packet.duration), 0) * scale or 1 / _rate(stream)
    if decoded and decoded[0] <= stamps[-1]:  # a cut may have left pictures without those that they need
        stamps = [stamp for stamp in stamps if stamp >= decoded[0]]
    last = max(shown, key=lambda packet: packet.stamp or 0)
    end_s = _track_end_s(container, stream, stamps[-1] * scale) or stamps[-1] * scale + (last.duration * scale or usual_s)
    start_s = stamps[0] * scale
    own = torch.tensor(stamps, dtype=torch.int64)
    times_s = own.double() * scale - start_s
    times_s[0] = 0.0
    return Timing(start_s, times_s, end_s - start_s, own, packets)


def _counted(stream: av.VideoStream, packets: tuple[Packet, ...], shown: list[Packet]) -> Timing:
    """Of frames that come one after the other, from the first that can be decoded; where stamps are missing, without a gap."""
    shown = shown[next((number for number, packet in enumerate(shown) if packet.whole), 0) :]
    scale = float(stream.time_base)
    stamps = sorted(packet.stamp for packet in shown if packet.stamp is not None)
    lengths_s = torch.tensor([packet.duration * scale or 1 / _rate(stream) for packet in shown], dtype=torch.float64)
    if len(stamps) < len(shown):
        times_s = lengths_s.cumsum(0) - lengths_s
    else:
        times_s = (torch.tensor(_spread(stamps), dtype=torch.float64) - stamps[0]) * scale
    start_s = stamps[0] * scale if stamps else 0.0
    return Timing(start_s, times_s, float(times_s[-1] + lengths_s[-1]), None, packets)


def _spread(stamps: list[int]) -> list[float]:
    """Rising: of several alike, each after the first goes a part of the way to the next."""
    firsts = sorted(set(stamps))
    counts = Counter(stamps)
    ends = [*firsts[1:], 2 * firsts[-1] - firsts[-2] if len(firsts) > 1 else firsts[-1] + counts[firsts[-1]]]
    return [
        first + (end - first) * number / counts[first]
        for first, end in zip(firsts, ends, strict=True)
        for number in range(counts[first])
    ]


def _first_decoded(container: av.container.InputContainer, count: int) -> list[int]:
    """The stamps of the first frames that come out; fewer where the file breaks off."""
    stamps: list[int] = []
    try:
        for frame in container.decode(picture_stream(container)):
            if frame.pts is not None:
                stamps.append(frame.pts)
            if len(stamps) >= count:
                break
    except av.error.FFmpegError:
        pass  # told when a frame is asked for that cannot be had
    return stamps


def _track_end_s(container: av.container.InputContainer, stream: av.VideoStream, last_s: float) -> float | None:
    """What the container states, where it does: in Matroska the last picture has no length of its own, an edit list may cut it."""
    end_s = 0.0
    if "mov" in container.format.name and stream.duration is not None:
        end_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    elif match := re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", "")):
        end_s = 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
    return end_s if end_s > last_s else None


def _rate(stream: av.VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or 25)
