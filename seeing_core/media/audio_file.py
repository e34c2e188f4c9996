"""The sound of a file: any codec, rate and channel layout, decoded piece by piece into one channel."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .types import DURATION_RANGE_S, Waveform, fit_length
from .video_file import VideoFile


def read_sound(source: str | io.BytesIO, *, start_s: float = 0.0, length_s: float = 0.0) -> Waveform | None:
    """The first sound track of a file, mono (the mean of its channels), at its own rate; None when it has none.

    start_s, length_s: the part to read, in the file's own clock, 0 for all; silence where the track does not reach.
    Memory holds that part, one channel wide. Raises InputError when the file cannot be read, when its sound breaks off
    with an error, when it is empty, or longer than an hour.
    """
    name = f"file '{source}'" if isinstance(source, str) else "file"
    if isinstance(source, io.BytesIO):
        source.seek(0)
    try:
        with av.open(source, mode="r") as container:
            if not container.streams.audio:
                return None
            stream = container.streams.audio[0]
            samples = _gather(_mono_pieces(container, stream), start_s, length_s, stream.rate, name)
            return Waveform(samples[None], stream.rate)
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(name, f"sound that cannot be read ({error})", "a whole sound or video file") from error


def audio_track(video: VideoFile) -> Waveform | None:
    """A video's own sound track, mono, from the time of its first frame to its end; None when it has none."""
    sound = read_sound(video.source, start_s=video.clock_start_s, length_s=video.duration_s)
    return sound and Waveform(fit_length(sound.samples, round(video.duration_s * sound.rate_hz)), sound.rate_hz)


def _mono_pieces(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[tuple[float, Tensor]]:
    """(start time in seconds, (n,) samples) of each decoded frame."""
    planar = av.AudioResampler(format="fltp")  # the same rate and layout, whatever the sample format was
    for frame in container.decode(stream):
        time_s = frame.time or 0.0
        for part in planar.resample(frame):
            yield time_s, torch.from_numpy(np.ascontiguousarray(part.to_ndarray())).mean(0)


def _gather(pieces: Iterator[tuple[float, Tensor]], start_s: float, length_s: float, rate_hz: int, name: str) -> Tensor:
    """(n,): the pieces joined, cut to the part asked for. A track that begins later is preceded by silence."""
    wanted = round(length_s * rate_hz) if length_s else int(DURATION_RANGE_S[1] * rate_hz) + 1
    kept: list[Tensor] = []
    skip, count = None, 0
    for time_s, piece in pieces:
        if skip is None:
            skip = round((start_s - time_s) * rate_hz)
            if skip < 0:
                kept, count = [torch.zeros(min(-skip, wanted))], min(-skip, wanted)
        dropped = min(max(skip, 0), len(piece))
        skip -= dropped
        kept.append(piece[dropped:][: wanted - count])
        count += len(kept[-1])
        if count >= wanted:
            break
    if skip is None:
        raise InputError(name, "a sound track without samples", "a sound track")
    if not length_s and count >= wanted:
        raise InputError(name, "more than an hour of sound", f"at most {DURATION_RANGE_S[1]:g} seconds")
    return fit_length(torch.cat(kept), wanted) if length_s else torch.cat(kept)
