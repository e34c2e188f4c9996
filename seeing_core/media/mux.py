"""Sound joined to a video: the picture stream copied bit for bit where that can be, the sound as AAC, in an mp4 file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import av
import numpy as np
from torch.nn.functional import pad

from ..errors import InputError
from .mix import Mix
from .resample import resample
from .timing import picture_stream
from .types import Video, Waveform
from .video_file import VideoFile

Fit = Literal["fit to picture", "trim to shorter"]
FITS: tuple[str, ...] = get_args(Fit)
Copies = Literal["what every browser plays", "what mp4 can hold"]
COPIES: tuple[str, ...] = get_args(Copies)
HELD_CODECS = {"h264", "hevc", "av1", "vp9", "mpeg4"}  # what mp4 players read
PLAYED = {("h264", "yuv420p"), ("h264", "yuvj420p"), ("vp9", "yuv420p"), ("av1", "yuv420p"), ("av1", "yuv420p10le")}
AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
SOUND_CHUNK = 1024
CRF = "16"  # visually lossless; used only where the stream cannot be copied
OF_THE_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}  # not of what it shows


def mux(
    video: Video,
    sound: Waveform,
    path: Path | str,
    *,
    fit: str = "fit to picture",
    mix: Mix = Mix(),
    own: Waveform | None = None,
    copies: str = "what every browser plays",
    comment: str = "",
) -> Path:
    """Writes `video` with `sound` to an mp4 file; the file appears whole or not at all.

    fit: "fit to picture" pads the sound with silence or cuts it to the picture's length; "trim to shorter" cuts whichever is
    longer (a picture that must be cut is encoded anew).  mix: where the new sound goes, and what becomes of the video's `own`.
    copies: which picture streams are copied; others are encoded anew as H.264.  comment: written into the file.
    The tags and chapters of a file are kept; `left_out` tells what is not. Raises InputError on bad input, a full disk or a
    folder that cannot be written.
    """
    for name, given, allowed in (("fit", fit, FITS), ("copies", copies, COPIES)):
        if given not in allowed:
            raise InputError(name, f"'{given}'", "one of " + ", ".join(allowed))
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    length_s = video.duration_s if fit == "fit to picture" else min(video.duration_s, mix.end_s(sound))
    if length_s <= 0:
        raise InputError("offset", f"{mix.offset_s:g} s", f"one that leaves some of the sound's {sound.duration_s:g} s")
    own = None if own is None else _encodable(own)
    tracks = [_encodable(track) for track in mix.tracks(_encodable(sound), own, length_s)]
    cut = length_s < video.duration_s - 1e-3
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "faststart+use_metadata_tags"}) as output:
            if isinstance(video, VideoFile):
                _tell_of(video, output, length_s)
            if comment:
                output.metadata["comment"] = comment
            if isinstance(video, VideoFile) and not cut and can_copy(video, copies):
                _copy_picture(video, output, tracks)
            else:
                _encode_picture(video, length_s, output, tracks)
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


def can_copy(video: VideoFile, copies: str = "what every browser plays") -> bool:
    """Whether the stored pictures, as they are, show what `video` shows, in a format that players know."""
    if video.start_s or video.length_s:
        return False
    timing = video.timing
    with video.open() as container:
        context = picture_stream(container).codec_context
        codec = context.codec.canonical_name  # the decoder's own name may be another
        known = codec in HELD_CODECS if copies == "what mp4 can hold" else (codec, context.pix_fmt) in PLAYED
    if not known or timing.stamps is None:
        return False
    first, last = int(timing.stamps[0]), int(timing.stamps[-1])
    # An edit list can hide what comes before. What is hidden in between would be shown; what is hidden behind is left out, unless
    # it is stored before pictures that may need it. And nothing shown may be one that cannot be decoded.
    behind = False
    for packet in timing.packets:
        if packet.stamp is None or packet.hidden == (first <= packet.stamp <= last) or (behind and not packet.hidden):
            return False
        behind |= packet.stamp > last
    return True


def left_out(video: Video) -> list[str]:
    """What a muxed file lacks of the one that its picture is from, for the user to know."""
    if not isinstance(video, VideoFile):
        return []
    with video.open() as container:
        picture, chapters = picture_stream(container), bool(container.chapters())
        kept = {picture.index, *(stream.index for stream in container.streams.audio[:1])}
        names = {
            "subtitle": "subtitles",
            "audio": "a further sound track",
            "video": "a further picture or cover",
            "data": "a data track",
        }
        others = [stream for stream in container.streams if stream.index not in kept]
        return [names.get(one.type, one.type) for one in others if not (one.type == "data" and chapters)]


def _tell_of(video: VideoFile, output: av.container.OutputContainer, length_s: float) -> None:
    """Copies the tags, ComfyUI's workflow among them, and the chapters, moved and cut as the picture is."""
    with video.open() as source:
        for name, value in source.metadata.items():
            if name.lower() not in OF_THE_CONTAINER:
                output.metadata[name] = value
        chapters: list[Any] = []
        for chapter in source.chapters():
            unit = float(chapter["time_base"])
            times_s = (min(max(chapter[side] * unit - video.clock_start_s, 0.0), length_s) for side in ("start", "end"))
            start, end = (round(time_s * 1000) for time_s in times_s)
            if end > start:
                chapters.append({**chapter, "start": start, "end": end, "time_base": Fraction(1, 1000)})
    if chapters:
        output.set_chapters(chapters)


def _copy_picture(video: VideoFile, output: av.container.OutputContainer, tracks: Sequence[Waveform]) -> None:
    timing = video.timing
    stamps = [packet.stamp for packet in timing.packets]
    rising = sorted(stamps)
    # So that none is to be shown before it is decoded.
    delay = max(one - stamp for one, stamp in zip(rising, stamps, strict=True))
    with video.open() as source:
        template = picture_stream(source)
        zero = round(timing.start_s / template.time_base)
        last = round((timing.start_s + timing.end_s) / template.time_base) - max(packet.stamp for packet in timing.packets)
        end = int(timing.stamps[-1])
        picture = output.add_stream_from_template(template, opaque=True)
        sounds = _SoundTracks(output, tracks)
        stored = (packet for packet in source.demux(template) if packet.size)
        for number, packet in enumerate(stored):
            if packet.pts > end:  # hidden, and nothing that is shown needs it
                continue
            packet.pts, packet.dts = packet.pts - zero, rising[number] - delay - zero
            if number == len(stamps) - 1 and last > 0:
                packet.duration = last
            shown_s = float(packet.dts * packet.time_base)
            packet.stream = picture
            output.mux(packet)
            sounds.write_until(shown_s)
        sounds.write_until(float("inf"))


def _encode_picture(video: Video, length_s: float, output: av.container.OutputContainer, tracks: Sequence[Waveform]) -> None:
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
            sounds = _SoundTracks(output, tracks)
        rgb = (even.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        video_frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        video_frame.pts, video_frame.time_base = round(float(times[index]) / clock), clock
        output.mux(picture.encode(video_frame))
    output.mux(picture.encode(None))
    sounds.write_until(float("inf"))


class _SoundTracks:
    """Sounds on their way into a file, a piece at a time, so that a player need not read ahead."""

    def __init__(self, output: av.container.OutputContainer, tracks: Sequence[Waveform]) -> None:
        self.output = output
        self.written_s = 0.0
        streams = [_sound_stream(output, track) for track in tracks]  # all of them before the first packet
        self.packets = [_sound_packets(stream, track) for stream, track in zip(streams, tracks, strict=True)]

    def write_until(self, time_s: float) -> None:
        while self.packets and self.written_s <= time_s:
            for packets in list(self.packets):
                packet = next(packets, None)
                if packet is None:
                    self.packets.remove(packets)
                    continue
                self.written_s = float(packet.pts * packet.time_base)
                self.output.mux(packet)


def _sound_stream(output: av.container.OutputContainer, sound: Waveform) -> av.AudioStream:
    channels = len(sound.samples)
    stream = output.add_stream("aac", rate=sound.rate_hz, layout="mono" if channels == 1 else "stereo")
    stream.bit_rate = 96_000 * channels
    return stream


def _sound_packets(stream: av.AudioStream, sound: Waveform) -> Iterator[av.Packet]:
    for start in range(0, sound.samples.shape[1], SOUND_CHUNK):
        chunk = np.ascontiguousarray(sound.samples[:, start : start + SOUND_CHUNK].float().numpy())
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate_hz, start, Fraction(1, sound.rate_hz)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _encodable(sound: Waveform) -> Waveform:
    """Mono or stereo at a rate that AAC knows; more channels are mixed down, an odd rate becomes 48 kHz."""
    samples = sound.samples.detach().cpu()
    if len(samples) > 2:
        samples = samples.mean(0, keepdim=True).expand(2, -1)
    rate_hz = sound.rate_hz if sound.rate_hz in AAC_RATES_HZ else 48000
    return Waveform(resample(samples, sound.rate_hz, rate_hz), rate_hz)
