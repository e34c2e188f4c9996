"""Sound joined to a video: the picture untouched, the sound whole and on time, nothing half-written."""

from __future__ import annotations

import io
import resource
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from seeing_core.errors import InputError
from seeing_core.media.mux import FITS, mux
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.media.video_file import VideoFile


def noise(duration_s: float, rate_hz: int = 16000, channels: int = 1) -> Waveform:
    samples = torch.randn(channels, round(duration_s * rate_hz), generator=torch.Generator().manual_seed(0))
    return Waveform(0.1 * samples, rate_hz)


def packets(path: Path) -> list[tuple[bytes, float]]:
    """Of the picture: content, and time shown."""
    with av.open(str(path)) as container:
        return [(bytes(p), float(p.pts * p.time_base)) for p in container.demux(video=0) if p.size]


def decoded_sound(path: Path) -> tuple[np.ndarray, int]:
    """(channels, n) from time 0, and the rate."""
    with av.open(str(path)) as container:
        [stream] = container.streams.audio
        chunks = [frame.to_ndarray() for frame in container.decode(stream)]
        return np.concatenate(chunks, 1), stream.rate


def lengths_s(path: Path) -> tuple[float, float]:
    """Of picture and sound."""
    with av.open(str(path)) as container:
        [picture], [sound] = container.streams.video, container.streams.audio
        return float(picture.duration * picture.time_base), float(sound.duration * sound.time_base)


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("name", ["bigbuckbunny", "bikes"])
def test_real_videos_keep_their_picture_and_change_their_sound(
    real_video: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    source = real_video(name)
    video = VideoFile(str(source))
    sound = noise(video.duration_s)
    out = mux(video, sound, tmp_path / "out.mp4")
    assert packets(out) == packets(source)
    assert lengths_s(out) == pytest.approx((video.duration_s, video.duration_s), abs=1 / 25)
    heard, rate_hz = decoded_sound(out)
    assert rate_hz == 16000 and heard.shape[0] == 1
    start = heard[0, 8000:24000]  # what AAC keeps of noise is still the same noise
    assert np.corrcoef(start, sound.samples[0, 8000:24000])[0, 1] > 0.7
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    with av.open(str(out)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        interleaved = [packet.stream.type for packet in container.demux() if packet.size]
    assert "audio" in interleaved[: len(interleaved) // 4]  # a player need not read ahead


@pytest.mark.parametrize("sound_s", [1.0, 1.9, 2.0, 2.1, 3.0])
@pytest.mark.parametrize("fit", FITS)
def test_fit(write_video: Callable[..., Path], tmp_path: Path, fit: str, sound_s: float) -> None:
    source = write_video(tmp_path / "source.mp4", [i / 25 for i in range(50)], [5 * i for i in range(50)])
    out = mux(VideoFile(str(source)), noise(sound_s), tmp_path / "out.mp4", fit=fit)
    expected_s = 2.0 if fit == "fit to picture" else min(2.0, sound_s)
    assert lengths_s(out) == pytest.approx((expected_s, expected_s), abs=1 / 25)
    assert (packets(out) == packets(source)) == (expected_s == 2.0)
    heard, _ = decoded_sound(out)
    assert np.abs(heard[0, round(min(sound_s, expected_s) * 16000) + 2048 :]).max(initial=0) < 0.01  # silence added
    np.testing.assert_allclose(pictures(out).mean((1, 2, 3)), [5 * i for i in range(round(expected_s * 25))], atol=3)


@pytest.mark.parametrize("size", [(1, 1), (33, 77), (2, 300), (301, 3), (64, 64)])
def test_clips_of_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = torch.linspace(0, 1, 9).view(9, 1, 1, 1).expand(9, 3, *size)
    out = mux(VideoFrames(pixels, 6), noise(1.5), tmp_path / "out.mp4")
    shown = pictures(out)
    assert shown.shape == (9, size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    np.testing.assert_allclose(shown.mean((1, 2, 3)), pixels[:, 0, 0, 0] * 255, atol=4)
    assert lengths_s(out) == pytest.approx((1.5, 1.5), abs=1 / 6)
    assert VideoFile(str(out)).times_s.tolist() == pytest.approx([i / 6 for i in range(9)], abs=1e-3)


@pytest.mark.parametrize("fps", [0.5, 8, 23.976, 1000])
def test_clips_of_any_rate(tmp_path: Path, fps: float) -> None:
    clip = VideoFrames(torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)), fps)
    out = VideoFile(str(mux(clip, noise(0.5), tmp_path / "out.mp4")))
    torch.testing.assert_close(out.times_s, clip.times_s, atol=1e-4, rtol=0)
    assert out.duration_s == pytest.approx(clip.duration_s, abs=1 / fps)


@pytest.mark.parametrize("rate_hz", [8000, 11000, 11025, 16000, 22050, 44100, 44101, 48000, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_sounds_of_any_rate_and_channels(tmp_path: Path, rate_hz: int, channels: int) -> None:
    """A tone of 440 Hz, louder in the first channel: its pitch, length and sides must survive."""
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(rate_hz) / rate_hz)
    sound = Waveform(tone * torch.tensor([0.5] + [0.1] * (channels - 1))[:, None], rate_hz)
    out = mux(VideoFrames(torch.zeros(8, 3, 16, 16), 8), sound, tmp_path / "out.mp4")
    heard, heard_hz = decoded_sound(out)
    assert heard.shape[0] == min(channels, 2)
    assert heard.shape[1] / heard_hz == pytest.approx(1.0, abs=0.05)
    middle = heard[0, heard_hz // 4 : 3 * heard_hz // 4]
    assert np.abs(np.fft.rfft(middle)).argmax() * 2 == pytest.approx(440, abs=2)
    expected = {1: [0.5], 2: [0.5, 0.1], 6: [1 / 6, 1 / 6]}[channels]  # six channels are mixed down
    loudness = np.sqrt(2 * (heard[:, heard_hz // 4 : 3 * heard_hz // 4] ** 2).mean(1))
    assert loudness == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("rate_hz", [16000, 44100, 44101])
@pytest.mark.parametrize("kind", ["copied", "encoded"])
def test_sound_is_on_time(real_video: Callable[[str], Path], tmp_path: Path, kind: str, rate_hz: int) -> None:
    """A click one second in must be heard one second in, within 2 ms."""
    samples = torch.zeros(1, 3 * rate_hz)
    samples[0, rate_hz : rate_hz + rate_hz // 500] = 0.9
    video = VideoFile(str(real_video("bikes"))) if kind == "copied" else VideoFrames(torch.rand(24, 3, 16, 16), 8)
    heard, heard_hz = decoded_sound(mux(video, Waveform(samples, rate_hz), tmp_path / "out.mp4"))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(audio=0)).pts == 0
    loud = np.flatnonzero(np.abs(heard[0]) > 0.45)
    assert loud[0] / heard_hz == pytest.approx(1.0, abs=0.002)
    assert loud[-1] / heard_hz == pytest.approx(1.002, abs=0.002)


def test_part_of_a_video(real_video: Callable[[str], Path], tmp_path: Path) -> None:
    source = VideoFile(str(real_video("bikes")), 4.0, 1.0)
    out = mux(source, noise(1.0), tmp_path / "out.mp4")
    assert lengths_s(out) == pytest.approx((1.0, 1.0), abs=1 / 25)
    assert len(pictures(out)) == 25
    wanted = np.stack([frame.permute(1, 2, 0).numpy() * 255 for frame in source.frames([0, 24])])
    assert np.abs(pictures(out)[[0, 24]] - wanted).mean() < 3


def test_a_video_of_varying_rate_keeps_its_times(write_video: Callable[..., Path], tmp_path: Path) -> None:
    times_s = [0, 0.1, 0.2, 0.7, 0.8, 1.6]
    source = write_video(tmp_path / "source.mp4", times_s, range(0, 240, 40))
    for video in (VideoFile(str(source)), VideoFile(str(source), 0.0, 60.0)):  # copied, encoded
        out = VideoFile(str(mux(video, noise(1.0), tmp_path / "out.mp4")))
        torch.testing.assert_close(out.times_s, torch.tensor(times_s, dtype=torch.float64), atol=1e-3, rtol=0)


def test_video_in_memory_and_output_over_its_own_source(write_video: Callable[..., Path], tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", [i / 25 for i in range(25)], [9 * i for i in range(25)])
    before = packets(path)
    mux(VideoFile(io.BytesIO(path.read_bytes())), noise(1.0), path)
    mux(VideoFile(str(path)), noise(1.0), path)
    assert packets(path) == before and len(decoded_sound(path)[0]) == 1


def test_bad_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^fit: received 'stretch'; expected one of fit to picture, trim to shorter"):
        mux(VideoFrames(torch.zeros(8, 3, 16, 16), 8), noise(1.0), tmp_path / "out.mp4", fit="stretch")


@pytest.mark.parametrize("place", ["none/out.mp4", "file/out.mp4", "folder"])
def test_places_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="^output file '.*': received a failure while writing .*; expected a folder"):
        mux(VideoFrames(torch.zeros(8, 3, 16, 16), 8), noise(1.0), tmp_path / place)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("limit_bytes", [0, 2000, 30000])
def test_a_full_disk_leaves_the_old_file_and_no_partial_one(tmp_path: Path, limit_bytes: int) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("the old video")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    clip = VideoFrames(torch.rand(16, 3, 64, 64, generator=torch.Generator().manual_seed(0)), 8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        with pytest.raises(InputError, match="^output file '.*out.mp4': received a failure while writing"):
            mux(clip, noise(2.0), out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"] and out.read_text() == "the old video"
    assert mux(clip, noise(2.0), out).stat().st_size > 30000
