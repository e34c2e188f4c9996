"""What phones, cameras and editors write: nothing is lost, shifted, mirrored or squeezed, when it is read and when it is muxed.

Each picture carries its own number, as bars that are black or white, and each sound a click at a known time. The files are made
by PyAV's encoders. What a format cannot say (the delay of an encoder in raw AAC, AC-3 or MPEG audio) is allowed for in its row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from seeing_core.media.audio_file import audio_track, read_sound
from seeing_core.media.mux import PLAYED, can_copy, left_out, mux
from seeing_core.media.types import Waveform
from seeing_core.media.video_file import VideoFile

BARS, WIDTH, HEIGHT = 8, 128, 96
CLICK_S = 0.3
RATE_HZ = 48000


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(height, width, 3): the number in bars over the upper half, the lowest bit at the left."""
    picture = np.full((height, width, 3), 40, np.uint8)
    for bar in range(BARS):
        left, right = bar * width // BARS, (bar + 1) * width // BARS
        picture[: height // 2, left:right] = 235 if number >> bar & 1 else 16
    return picture


def number_of(frame: torch.Tensor) -> int:
    """Of a frame (3, H, W); -1 where it does not stand upright."""
    height, width = frame.shape[1:]
    grey = frame.mean(0)
    if float(grey[height * 5 // 8 :].std()) > 0.1 or width <= height:
        return -1
    middle = grey[height // 8 : height * 3 // 8]
    bars = [float(middle[:, (2 * bar + 1) * width // 16 - 2 : (2 * bar + 1) * width // 16 + 2].mean()) for bar in range(BARS)]
    return sum(1 << bar for bar, light in enumerate(bars) if light > 0.5)


def numbers(video: VideoFile) -> list[int]:
    return [number_of(frame) for frame in video.frames(range(len(video.times_s)))]


def click(rate_hz: int = RATE_HZ, duration_s: float = 1.0, channels: int = 1, at_s: float = CLICK_S) -> Waveform:
    samples = torch.zeros(channels, round(duration_s * rate_hz))
    part = samples[:, round(at_s * rate_hz) :][:, : round(0.02 * rate_hz)]
    part += 0.6 * torch.sign(torch.sin(0.6 * torch.arange(part.shape[1])))
    return Waveform(samples, rate_hz)


def onset_s(sound: Waveform) -> float:
    level = sound.samples.abs().mean(0)
    loud = (level > 0.4 * level.max()).nonzero()
    return float(loud[0]) / sound.rate_hz


def encoded(output: av.container.OutputContainer, codec: str, sound: Waveform, layout: str) -> list[av.Packet]:
    options = {"strict": "experimental"} if codec == "vorbis" else {}
    stream = output.add_stream(codec, rate=sound.rate_hz, layout=layout, options=options)
    samples = np.ascontiguousarray(sound.samples.T.reshape(1, -1).numpy())
    frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = sound.rate_hz, 0, Fraction(1, sound.rate_hz)
    context = stream.codec_context
    context.open()
    resampler = av.AudioResampler(context.format, layout, sound.rate_hz, frame_size=context.frame_size or 1024)
    packets = [stream.encode(part) for part in [*resampler.resample(frame), *resampler.resample(None)]]
    return [packet for group in [*packets, stream.encode(None)] for packet in group]


def write(
    path: Path,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    *,
    times_s: Sequence[float] | None = None,
    count: int = 25,
    fps: Fraction = Fraction(25),
    form: str | None = None,
    options: dict[str, str] | None = None,
    sound: str | None = None,
    prepare: Callable[[av.VideoStream], None] = lambda stream: None,
    shape: Callable[[np.ndarray], np.ndarray] = lambda picture: picture,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    shift_s: float = 0.0,
    ahead: int = 1,
) -> Path:
    """A file whose pictures carry the numbers from 1 on.  shape: how a picture is stored.  shift_s: of the file's clock."""
    times_s = times_s or [float(number / fps) for number in range(count)]
    clock = Fraction(1, 90000)
    with av.open(str(path), "w", format=form) as output:
        stored = shape(numbered(1, *size))
        stream = output.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *stored.shape[:2], pix_fmt
        if len({*np.diff(times_s).round(6)}) > 1:
            stream.codec_context.time_base = clock
        prepare(stream)
        packets = []
        sounds = encoded(output, sound, click(duration_s=times_s[-1] + 1 / float(fps)), "mono") if sound else []
        for number, time_s in enumerate(times_s, start=1):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(shape(numbered(number % 255 + (number >= 255), *size))), format="rgb24"
            )
            unit = stream.codec_context.time_base or 1 / fps
            frame.pts, frame.time_base = round(time_s / unit), unit
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in sorted([*packets, *sounds], key=lambda one: float(one.dts * one.time_base)):
            if shift_s:
                moved = round(shift_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
            output.mux(packet)
    return path


def check(video: VideoFile, expected: Sequence[int], duration_s: float, frame_s: float = 0.04) -> None:
    assert numbers(video) == list(expected)
    assert video.duration_s == pytest.approx(duration_s, abs=frame_s)
    assert (video.times_s.diff() > 0).all() and video.times_s[0] == 0


def stored(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def check_mux(source: Path, tmp_path: Path, expected: Sequence[int], frame_s: float = 0.04) -> VideoFile:
    """The file with a new sound: the same pictures at the same times, in a form that browsers play, the click on time."""
    video = VideoFile(str(source))
    out = mux(video, click(duration_s=video.duration_s), tmp_path / "muxed.mp4")
    made = VideoFile(str(out))
    check(made, expected, video.duration_s, frame_s)
    torch.testing.assert_close(made.times_s, video.times_s, atol=frame_s / 2, rtol=0)
    if video.duration_s > CLICK_S + 0.1:
        assert onset_s(audio_track(made)) == pytest.approx(CLICK_S, abs=1e-3)
        assert read_sound(str(out)).duration_s == pytest.approx(video.duration_s, abs=1e-3)
    with av.open(str(out)) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec.canonical_name, context.pix_fmt) in PLAYED
    if can_copy(video) and source.suffix != ".ts":  # there with start codes, in mp4 with lengths
        assert stored(out) == stored(source)
    return made


PICTURES = [
    ("mp4", "libx264", "yuv420p", {}, True),
    ("mp4", "libx264", "yuvj420p", {}, True),
    ("mp4", "libx264", "yuv420p10le", {}, False),
    ("mp4", "libx264", "yuv444p", {}, False),
    ("mp4", "libx265", "yuv420p", {"x265-params": "log-level=error"}, False),
    ("mp4", "mpeg4", "yuv420p", {"bf": "2"}, False),
    ("mov", "libx264", "yuv420p", {}, True),
    ("mov", "prores_ks", "yuv422p10le", {}, False),
    ("mov", "mjpeg", "yuvj420p", {}, False),
    ("mov", "rawvideo", "rgb24", {}, False),
    ("mkv", "libx264", "yuv420p", {}, True),
    ("mkv", "libvpx-vp9", "yuv420p", {"cpu-used": "8"}, True),
    ("mkv", "ffv1", "yuv444p", {}, False),
    ("webm", "libvpx", "yuv420p", {"cpu-used": "8"}, False),
    ("webm", "libvpx", "yuva420p", {"cpu-used": "8", "auto-alt-ref": "0"}, False),
    ("webm", "libvpx-vp9", "yuva420p", {"cpu-used": "8"}, None),
    ("mp4", "libsvtav1", "yuv420p", {"preset": "12"}, True),
    ("avi", "libx264", "yuv420p", {}, False),
    ("avi", "mpeg4", "yuv420p", {"bf": "2"}, False),
    ("avi", "mjpeg", "yuvj420p", {}, False),
    ("avi", "rawvideo", "yuv420p", {}, False),
    ("mpg", "mpeg2video", "yuv420p", {}, False),
    ("ts", "libx264", "yuv420p", {}, True),
    ("ts", "mpeg2video", "yuv420p", {}, False),
    ("h264", "libx264", "yuv420p", {}, False),
    ("gif", "gif", "rgb8", {}, False),
]


@pytest.mark.parametrize("container, codec, pix_fmt, options, copied", PICTURES, ids=lambda value: str(value))
def test_picture_formats(
    tmp_path: Path, container: str, codec: str, pix_fmt: str, options: dict[str, str], copied: bool | None
) -> None:
    path = write(tmp_path / f"a.{container}", codec, pix_fmt, options=options)
    expected = range(1, 26)
    check(VideoFile(str(path)), expected, 1.0)
    assert copied in (None, can_copy(VideoFile(str(path))))
    check_mux(path, tmp_path, expected)


@pytest.mark.parametrize(
    "fps", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(240), Fraction(1)]
)
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_rates(tmp_path: Path, container: str, fps: Fraction) -> None:
    path = write(tmp_path / f"a.{container}", fps=fps, count=12)
    video = VideoFile(str(path))
    frame_s = float(1 / fps)
    check(video, range(1, 13), 12 * frame_s, frame_s)
    torch.testing.assert_close(video.times_s, torch.arange(12, dtype=torch.float64) * frame_s, atol=1e-3, rtol=0)
    check_mux(path, tmp_path, range(1, 13), frame_s)


@pytest.mark.parametrize("count", [1, 2, 1200])
def test_lengths(tmp_path: Path, count: int) -> None:
    """From one frame to twenty minutes."""
    path = write(tmp_path / "a.mp4", fps=Fraction(1), count=count, options={"preset": "ultrafast"})
    video = VideoFile(str(path))
    assert len(video.times_s) == count and video.duration_s == pytest.approx(count, abs=0.5)
    made = VideoFile(str(mux(video, click(16000, duration_s=count), tmp_path / "muxed.mp4")))
    assert made.duration_s == pytest.approx(count, abs=0.5) and stored(tmp_path / "muxed.mp4") == stored(path)


@pytest.mark.parametrize("size", [(127, 95), (130, 98), (1918, 1078)])
def test_sizes_that_no_codec_block_divides(tmp_path: Path, size: tuple[int, int]) -> None:
    odd = size[0] % 2
    path = write(tmp_path / "a.mp4", pix_fmt="yuv444p" if odd else "yuv420p", size=size, count=8)
    check(VideoFile(str(path)), range(1, 9), 0.32)
    assert next(VideoFile(str(path)).frames([0])).shape == (3, size[1], size[0])
    check_mux(path, tmp_path, range(1, 9))


@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_display_matrix(tmp_path: Path, container: str, degrees: int, flips: tuple[bool, bool]) -> None:
    """All eight ways up: turned anticlockwise by so many degrees, then mirrored, the stored picture stands upright."""
    horizontal, vertical = flips

    def lying(picture: np.ndarray) -> np.ndarray:
        picture = picture[:, ::-1] if horizontal else picture
        picture = picture[::-1] if vertical else picture
        return np.rot90(picture, -degrees // 90)

    def told(stream: av.VideoStream) -> None:
        stream.set_display_rotation(degrees, hflip=horizontal, vflip=vertical)

    path = write(tmp_path / f"a.{container}", prepare=told, shape=lying, count=10)
    check(VideoFile(str(path)), range(1, 11), 0.4)
    made = check_mux(path, tmp_path, range(1, 11))
    assert stored(Path(made.source)) == stored(path)  # turned by the player, as before
    encoded_anew = mux(VideoFile(str(path), 0.0, 0.2), click(duration_s=0.2), tmp_path / "part.mp4")
    assert numbers(VideoFile(str(encoded_anew))) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov"])
def test_pixels_that_are_not_square(tmp_path: Path, container: str) -> None:
    def told(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    path = write(tmp_path / f"a.{container}", prepare=told, shape=lambda picture: picture[:, ::2], count=10)
    assert next(VideoFile(str(path)).frames([0])).shape == (3, HEIGHT, WIDTH)
    check(VideoFile(str(path)), range(1, 11), 0.4)
    check_mux(path, tmp_path, range(1, 11))


def remuxed(source: Path, path: Path, shift_s: float, keep: Callable[[av.Packet], bool] = lambda packet: True) -> Path:
    """A copy without encoding, all of it earlier by `shift_s`, which in mp4 hides what falls before 0 by an edit list."""
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in given.streams}
        for packet in given.demux():
            if not packet.size or not keep(packet):
                continue
            moved = round(shift_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - moved, packet.dts - moved
            packet.stream = streams[packet.stream.index]
            output.mux(packet)
    return path


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("shift_s, shown", [(0.7, 32), (0.72, 32), (0.04, 49), (1.5, 12)])
def test_an_edit_list_hides_the_beginning(tmp_path: Path, container: str, shift_s: float, shown: int) -> None:
    base = write(tmp_path / "base.mp4", count=50, options={"g": "50"}, sound="aac")
    cut = remuxed(base, tmp_path / f"cut.{container}", shift_s)
    video = VideoFile(str(cut))
    expected = range(51 - shown, 51)
    check(video, expected, 2.0 - shift_s, 1e-3)
    if shift_s < CLICK_S:
        assert onset_s(audio_track(video)) == pytest.approx(CLICK_S - shift_s, abs=1e-3)
    check_mux(cut, tmp_path, expected)


def test_what_an_edit_list_hides_behind_or_in_between_is_not_copied_into_view(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", count=25, options={"bf": "2"})
    packets = VideoFile(str(path)).timing.packets

    def copied(*hidden: int) -> bool:
        """hidden: places of pictures in the order shown."""
        stamps = sorted(packet.stamp for packet in packets)
        marked = tuple(packet._replace(hidden=stamps.index(packet.stamp) in hidden) for packet in packets)
        shown = torch.tensor([stamp for place, stamp in enumerate(stamps) if place not in hidden])
        video = VideoFile(str(path))
        video.__dict__["timing"] = replace(video.timing, packets=marked, stamps=shown)
        return can_copy(video)

    reordered = [packet.stamp for packet in packets] != sorted(packet.stamp for packet in packets)
    stored_last = sorted(packet.stamp for packet in packets).index(packets[-1].stamp)
    assert reordered and stored_last != 24  # the last one shown is stored before others, which may need it
    assert copied() and copied(0, 1) and not copied(10) and not copied(24)
    assert copied(*range(20, 25)) == all(packet.stamp > packets[-6].stamp for packet in packets[-5:])


@pytest.mark.parametrize("container", ["mkv", "ts", "mp4"])
@pytest.mark.parametrize("shift_s", [5.0, 0.12])
def test_a_clock_that_does_not_start_at_zero(tmp_path: Path, container: str, shift_s: float) -> None:
    path = write(tmp_path / f"a.{container}", count=50, shift_s=shift_s, sound="aac")
    video = VideoFile(str(path))
    check(video, range(1, 51), 2.0)
    assert onset_s(audio_track(video)) == pytest.approx(CLICK_S, abs=2e-3)
    check_mux(path, tmp_path, range(1, 51))


@pytest.mark.parametrize("container", ["mkv", "ts"])
@pytest.mark.parametrize(
    "codec, options",
    [("libx264", {"g": "12", "x264-params": "open-gop=1:scenecut=0:bframes=3"}), ("mpeg2video", {"g": "12", "bf": "2"})],
)
def test_a_cut_into_an_open_group_of_pictures(tmp_path: Path, container: str, codec: str, options: dict[str, str]) -> None:
    """The first pictures of what is left need some that were cut away: what can be seen keeps its number and its time."""
    base = write(tmp_path / f"base.{container}", codec, count=40, options=options)
    with av.open(str(base)) as given:
        keys = [packet.dts for packet in given.demux(video=0) if packet.size and packet.is_keyframe and packet.dts is not None]
    for begin in (keys[1], keys[1] + 1):
        cut = remuxed(
            base, tmp_path / f"cut.{container}", 0.0, lambda packet, begin=begin: packet.dts is not None and packet.dts >= begin
        )
        video = VideoFile(str(cut))
        seen = numbers(video)
        assert seen == list(range(seen[0], 41)) and 8 < seen[0] < 40
        torch.testing.assert_close(video.times_s, torch.arange(len(seen), dtype=torch.float64) / 25, atol=2e-3, rtol=0)
        check_mux(cut, tmp_path, seen)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_varying_rate_up_to_the_end(tmp_path: Path, container: str) -> None:
    times_s = [0, 0.04, 0.08, 0.5, 0.54, 1.2]
    path = write(tmp_path / f"a.{container}", times_s=times_s)
    video = VideoFile(str(path))
    assert numbers(video) == [1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(video.times_s, torch.tensor(times_s, dtype=torch.float64), atol=1e-3, rtol=0)
    assert 1.2 < video.duration_s < 2.0
    made = VideoFile(str(mux(video, click(duration_s=1.0), tmp_path / "muxed.mp4")))
    torch.testing.assert_close(made.times_s, video.times_s, atol=1e-3, rtol=0)
    assert made.duration_s == pytest.approx(video.duration_s, abs=2e-3)


def test_the_length_of_the_last_picture(tmp_path: Path) -> None:
    """A still picture at the end, which lasts because the file says so."""
    path = tmp_path / "a.mp4"
    with av.open(str(write(tmp_path / "base.mp4", count=5, options={"bf": "0"}))) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0], opaque=True)
        packets = [packet for packet in given.demux(video=0) if packet.size]
        for packet in packets:
            if packet is packets[-1]:
                packet.duration = round(1.5 / packet.time_base)
            packet.stream = stream
            output.mux(packet)
    video = VideoFile(str(path))
    assert video.duration_s == pytest.approx(4 * 0.04 + 1.5, abs=1e-3)
    made = VideoFile(str(mux(video, click(duration_s=1.0), tmp_path / "muxed.mp4")))
    assert made.duration_s == pytest.approx(video.duration_s, abs=1e-3) and stored(tmp_path / "muxed.mp4") == stored(path)


def test_two_pictures_with_one_stamp(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(write(tmp_path / "base.mp4", count=10, options={"bf": "0"}))) as given, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0], opaque=True)
        for number, packet in enumerate(one for one in given.demux(video=0) if one.size):
            packet.pts = packet.dts = round((number - (number == 5)) * 0.04 / packet.time_base)
            packet.stream = stream
            output.mux(packet)
    check(VideoFile(str(path)), range(1, 11), 0.4)
    check_mux(path, tmp_path, range(1, 11))


SOUNDS = [  # container, codec, layout, rate, what the encoder may add in front without the format saying so, in samples
    ("wav", "pcm_u8", "mono", 8000, 0),
    ("wav", "pcm_s16le", "stereo", 44100, 0),
    ("wav", "pcm_s24le", "5.1", 48000, 0),
    ("wav", "pcm_s32le", "stereo", 192000, 0),
    ("wav", "pcm_f32le", "7.1", 96000, 0),
    ("aiff", "pcm_s16be", "stereo", 44100, 0),
    ("flac", "flac", "stereo", 96000, 0),
    ("mp3", "libmp3lame", "stereo", 44100, 0),
    ("mp3", "libmp3lame", "mono", 16000, 0),
    ("m4a", "aac", "stereo", 44100, 0),
    ("m4a", "aac", "5.1", 48000, 0),
    ("m4a", "alac", "stereo", 44100, 0),
    ("opus", "libopus", "stereo", 48000, 0),
    ("webm", "libopus", "mono", 48000, 0),
    ("ogg", "flac", "mono", 22050, 0),
    ("ogg", "vorbis", "stereo", 44100, 0),
    ("mka", "flac", "stereo", 11025, 0),
    ("mov", "pcm_s16le", "stereo", 48000, 0),
    ("aac", "aac", "mono", 44100, 1024),
    ("ac3", "ac3", "5.1", 48000, 256),
    ("ts", "aac", "stereo", 48000, 1024),
    ("mp2", "mp2", "stereo", 48000, 481),
]


@pytest.mark.parametrize("container, codec, layout, rate_hz, unsaid", SOUNDS, ids=lambda value: str(value))
def test_sound_formats(tmp_path: Path, container: str, codec: str, layout: str, rate_hz: int, unsaid: int) -> None:
    path = tmp_path / f"a.{container}"
    sound = click(rate_hz, 1.5, len(av.AudioLayout(layout).channels))
    with av.open(str(path), "w") as output:
        for packet in encoded(output, codec, sound, layout):
            output.mux(packet)
    for mono, channels in ((True, 1), (False, min(2, len(sound.samples)))):
        read = read_sound(str(path), mono=mono)
        assert read.rate_hz == rate_hz and len(read.samples) == channels
        assert -1e-3 <= onset_s(read) - CLICK_S <= unsaid / rate_hz + 1e-3
        most_s = 2 * 1536 / rate_hz if unsaid else 1e-3
        assert -1e-3 < read.duration_s - 1.5 <= most_s
    assert onset_s(read_sound(str(path), start_s=0.1, length_s=1.0)) == pytest.approx(onset_s(read) - 0.1, abs=1e-3)


def test_a_cover_is_no_picture_and_two_tracks_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        picture = output.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        cover = output.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 64, 64, "yuvj420p", av.stream.Disposition.attached_pic
        sounds = [encoded(output, "aac", click(channels=2, at_s=at_s), "stereo") for at_s in (CLICK_S, 0.7)]
        packets = []
        for number in range(1, 26):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number - 1, Fraction(1, 25)
            packets += picture.encode(frame)
        still = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 255, np.uint8), format="rgb24")
        still.pts = 0
        packets += [*picture.encode(None), *cover.encode(still), *cover.encode(None)]
        for packet in [*packets, *sounds[0], *sounds[1]]:
            output.mux(packet)
    video = VideoFile(str(path))
    check(video, range(1, 26), 1.0)
    assert onset_s(audio_track(video)) == pytest.approx(CLICK_S, abs=1e-3)  # of the first track, which players choose
    assert sorted(left_out(video)) == ["a further picture or cover", "a further sound track"]
    check_mux(path, tmp_path, range(1, 26))


def test_a_sound_with_a_hole_keeps_its_time(tmp_path: Path) -> None:
    base, path = tmp_path / "base.mka", tmp_path / "hole.mka"
    with av.open(str(base), "w") as output:
        for packet in encoded(output, "pcm_s16le", click(16000, 2.0, at_s=1.5), "mono"):
            output.mux(packet)
    remuxed(base, path, 0.0, lambda packet: not 0.4 < float(packet.pts * packet.time_base) < 1.0)
    sound = read_sound(str(path))
    assert sound.duration_s == pytest.approx(2.0, abs=1e-3) and onset_s(sound) == pytest.approx(1.5, abs=2e-3)


def test_tags_and_chapters_are_kept(tmp_path: Path) -> None:
    base, path = write(tmp_path / "base.mp4", count=50), tmp_path / "a.mp4"
    marks = [(0, 800, "one"), (800, 2000, "two")]
    with av.open(str(base)) as given, av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as output:
        stream = output.add_stream_from_template(given.streams.video[0], opaque=True)
        output.metadata.update({"title": "Zażółć", "workflow": '{"nodes": []}'})
        output.set_chapters(
            [
                {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for number, (start, end, title) in enumerate(marks)
            ]
        )
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    for part, shown in ((VideoFile(str(path)), marks), (VideoFile(str(path), 0.4, 1.0), [(0, 400, "one"), (400, 1000, "two")])):
        with av.open(str(mux(part, click(), tmp_path / "muxed.mp4", comment="made"))) as container:
            tags = container.metadata
            assert (tags["title"], tags["workflow"], tags["comment"]) == ("Zażółć", '{"nodes": []}', "made")
            kept = [(mark["start"], mark["end"], mark["metadata"]["title"]) for mark in container.chapters()]
        assert kept == shown and left_out(part) == []
