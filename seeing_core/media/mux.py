"""Sound joined to a video: the picture stream copied bit for bit where that can be, the sound as AAC, in an mp4 file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import av
import numpy as np
from torch import Tensor
from torch.nn.functional import pad

from ..errors import InputError
from .resample import resample
from .types import Video, Waveform, fit_length
from .video_file import VideoFile

Fit = Literal["fit to picture", "trim to shorter"]
FITS: tuple[str, ...] = get_args(Fit)
COPIED_CODECS = {"h264", "hevc", "av1", "vp9", "mpeg4"}  # what mp4 players read
AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
SOUND_CHUNK = 1024
CRF = "16"  # visually lossless; used only where the stream cannot be copied


def mux(video: Video, sound: Waveform, path: Path | str, *, fit: Fit = "fit to picture", comment: str = "") -> Path:
    """Writes `video` with `sound` as its only sound track to an mp4 file; the file appears whole or not at all.

    fit: "fit to picture" pads the sound with silence or cuts it to the picture's length; "trim to shorter" cuts
    whichever is longer (a picture that must be cut is encoded anew).  comment: written into the file. Raises InputError on bad input, a full disk or a
    folder that cannot be written.
    """
    if fit not in FITS:
        raise InputError("fit", f"'{fit}'", "one of " + ", ".join(FITS))
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    length_s = video.duration_s if fit == "fit to picture" else min(video.duration_s, sound.duration_s)
    sound = _encodable(sound)
    samples = fit_length(sound.samples, round(length_s * sound.rate_hz))
    cut = length_s < video.duration_s - 1e-3
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "faststart"}) as output:
            if comment:
                output.metadata["comment"] = comment
            if isinstance(video, VideoFile) and not cut and _copies(video):
                _copy_picture(video, output, samples, sound.rate_hz)
            else:
                _encode_picture(video, length_s, output, samples, sound.rate_hz)
        os.replace(partial, path)
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"output file '{path}'",
            f"a failure while writing ({error})",
            "a folder that can be written, with room for the video",
        ) from error
    finally:
        if partial.is_file():
            partial.unlink()
    return path


def _copies(video: VideoFile) -> bool:
    if video.start_s or video.length_s:
        return False
    with video.open() as container:
        return container.streams.video[0].codec_context.name in COPIED_CODECS


def _copy_picture(video: VideoFile, output: av.container.OutputContainer, samples: Tensor, rate_hz: int) -> None:
    with video.open() as source:
        template = source.streams.video[0]
        picture = output.add_stream_from_template(template, opaque=True)
        track = _sound_track(output, samples, rate_hz)
        packets = _sound_packets(track, samples, rate_hz)
        written_s = 0.0
        for packet in source.demux(template):
            if packet.dts is None:
                continue
            start = template.start_time or 0
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            shown_s = float(packet.dts * packet.time_base)
            packet.stream = picture
            output.mux(packet)
            while written_s <= shown_s and (sound := next(packets, None)) is not None:
                written_s = float(sound.pts * sound.time_base)
                output.mux(sound)
        for sound in packets:
            output.mux(sound)


def _encode_picture(video: Video, length_s: float, output: av.container.OutputContainer, samples: Tensor, rate_hz: int) -> None:
    times = video.times_s
    shown = [index for index, time in enumerate(times.tolist()) if time < length_s - 1e-6]
    clock = Fraction(1, 90000)
    picture: av.VideoStream | None = None
    for index, frame in zip(shown, video.frames(shown), strict=True):
        even = pad(frame[None], (0, frame.shape[2] % 2, 0, frame.shape[1] % 2), mode="replicate")[0]  # 4:2:0 needs it
        if picture is None:
            rate = Fraction(len(times) / video.duration_s).limit_denominator(1001)
            picture = output.add_stream("libx264", rate=rate, options={"crf": CRF})
            picture.height, picture.width, picture.pix_fmt = *even.shape[1:], "yuv420p"
            picture.codec_context.time_base = clock
            track = _sound_track(output, samples, rate_hz)
        rgb = (even.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        video_frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        video_frame.pts, video_frame.time_base = round(float(times[index]) / clock), clock
        output.mux(picture.encode(video_frame))
    output.mux(picture.encode(None))
    for packet in _sound_packets(track, samples, rate_hz):
        output.mux(packet)


def _sound_track(output: av.container.OutputContainer, samples: Tensor, rate_hz: int) -> av.AudioStream:
    track = output.add_stream("aac", rate=rate_hz, layout="mono" if len(samples) == 1 else "stereo")
    track.bit_rate = 96_000 * len(samples)
    return track


def _sound_packets(track: av.AudioStream, samples: Tensor, rate_hz: int) -> Iterator[av.Packet]:
    for start in range(0, samples.shape[1], SOUND_CHUNK):
        chunk = np.ascontiguousarray(samples[:, start : start + SOUND_CHUNK].float().numpy())
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=track.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        yield from track.encode(frame)
    yield from track.encode(None)


def _encodable(sound: Waveform) -> Waveform:
    """Mono or stereo at a rate that AAC knows; more channels are mixed down, an odd rate becomes 48 kHz."""
    samples = sound.samples.detach().cpu()
    if len(samples) > 2:
        samples = samples.mean(0, keepdim=True).expand(2, -1)
    rate_hz = sound.rate_hz if sound.rate_hz in AAC_RATES_HZ else 48000
    return Waveform(resample(samples, sound.rate_hz, rate_hz), rate_hz)
