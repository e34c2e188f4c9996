"""The sound of a file: any codec, rate and channel layout, decoded piece by piece, each at the time it is to be heard."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import torch
from torch import Tensor

from ..errors import InputError
from .timing import picture_stream
from .types import DURATION_RANGE_S, Waveform, fit_length
from .video_file import VideoFile

GAP_S = 0.05  # a pause in the stamps that is longer is silence; what is shorter, containers round away or make up
PADDED = "mov"  # of the containers, those whose length leaves out what an encoder had to add at the end


def read_sound(source: str | io.BytesIO, *, start_s: float = 0.0, length_s: float = 0.0, mono: bool = True) -> Waveform | None:
    """The first sound track of a file at its own rate; None when it has none.

    start_s, length_s: the part to read, length 0 for all; silence where the track does not reach. The clock is the one that
    the track shares with the picture; in a file without a picture it starts with the first sample.
    mono: the mean of the channels; else one or two, more of them mixed down to stereo.
    Memory holds that part. Raises InputError when the file cannot be read, when its sound breaks off with an error, when it is
    empty, or longer than an hour.
    """
    name = f"file '{source}'" if isinstance(source, str) else "file"
    if isinstance(source, io.BytesIO):
        source.seek(0)
    try:
        with av.open(source, mode="r") as container:
            stream = sound_stream(container)
            if stream is None:
                return None
            alone = picture_stream(container) is None
            samples = _gather(_pieces(container, stream, mono), start_s, length_s, stream.rate, alone, name)
            return Waveform(samples, stream.rate)
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(name, f"sound that cannot be read ({error})", "a whole sound or video file") from error


def sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first track that can be decoded: phones add some in formats that nothing knows."""
    return next((one for one in container.streams.audio if one.codec_context is not None), None)


def audio_track(video: VideoFile, *, mono: bool = True) -> Waveform | None:
    """A video's own sound track, from the time of its first frame to its end; None when it has none."""
    sound = read_sound(video.source, start_s=video.clock_start_s, length_s=video.duration_s, mono=mono)
    return sound and Waveform(fit_length(sound.samples, round(video.duration_s * sound.rate_hz)), sound.rate_hz)


def _pieces(
    container: av.container.InputContainer, stream: av.AudioStream, mono: bool
) -> Iterator[tuple[float | None, Tensor]]:
    """(start time in seconds where it is known, (channels, n) samples) of each decoded frame."""
    layout = None if mono or len(stream.layout.channels) <= 2 else "stereo"
    # The same rate, whatever the sample format was. Packed: PyAV's planes of more than seven channels end the process.
    packed = av.AudioResampler(format="flt", layout=layout)
    end_s = None
    if PADDED in container.format.name and stream.duration is not None:
        end_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    for frame in container.decode(stream):
        for part in packed.resample(frame):
            samples = torch.from_numpy(part.to_ndarray().reshape(part.samples, -1).T.copy())
            if end_s is not None and frame.time is not None:
                samples = samples[:, : max(0, round((end_s - frame.time) * stream.rate))]
            yield frame.time, samples.mean(0, keepdim=True) if mono else samples


def _gather(
    pieces: Iterator[tuple[float | None, Tensor]], start_s: float, length_s: float, rate_hz: int, alone: bool, name: str
) -> Tensor:
    """(channels, n): the pieces, each in its place, cut to the part asked for; silence where there are none.

    alone: without a picture, so that the first sample is at 0.
    """
    wanted = round(length_s * rate_hz) if length_s else int(DURATION_RANGE_S[1] * rate_hz) + 1
    kept: list[Tensor] = []
    count = 0
    zero_s: float | None = None
    place = 0  # of the next sample, in what is asked for
    for time_s, piece in pieces:
        first = zero_s is None
        if zero_s is None:
            zero_s = time_s if alone and time_s is not None else 0.0
        stated = round(((time_s or 0.0) - zero_s - start_s) * rate_hz)
        if first or (time_s is not None and stated - place > GAP_S * rate_hz):
            place = stated
        silence = piece.new_zeros(len(piece), min(max(0, place - count), wanted - count))
        for part in (silence, piece[:, max(0, -place) :]):
            if part.shape[1]:
                kept.append(part[:, : wanted - count])
                count += kept[-1].shape[1]
        place += piece.shape[1]
        if count >= wanted:
            break
    if zero_s is None:
        raise InputError(name, "a sound track without samples", "a sound track")
    if not length_s and count >= wanted:
        raise InputError(name, "more than an hour of sound", f"at most {DURATION_RANGE_S[1]:g} seconds")
    if not kept:
        return piece.new_zeros(len(piece), wanted if length_s else 1)
    return fit_length(torch.cat(kept, 1), wanted) if length_s else torch.cat(kept, 1)
