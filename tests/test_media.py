"""Videos and sounds as values: what is refused, and how a video on disk is timed."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from seeing_core.errors import InputError
from seeing_core.media.resample import mono, resample
from seeing_core.media.types import (
    VideoFrames,
    Waveform,
    check_duration,
    fit_length,
)
from seeing_core.media.video_file import VideoFile
from tests.made import vision_input

FRAMES = torch.zeros(4, 3, 8, 8)


@pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf, 1e9])
def test_bad_fps(fps: float) -> None:
    with pytest.raises(InputError, match=rf"^fps: received {fps}; expected a number from 0.01 to 1000"):
        VideoFrames(FRAMES, fps)


@pytest.mark.parametrize("duration_s", [0, -1, 0.29, math.nan, math.inf, 1e9])
def test_bad_duration(duration_s: float) -> None:
    with pytest.raises(InputError, match=rf"^duration: received {duration_s}; expected a number from 0.3 to 3600 sec"):
        check_duration(duration_s)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_frames_and_samples_must_be_finite(value: float) -> None:
    with pytest.raises(InputError, match="^frames: received NaN or infinite pixels; expected finite"):
        VideoFrames(FRAMES.index_fill(0, torch.tensor([2]), value), 8)
    with pytest.raises(InputError, match="^audio: received NaN or infinite samples; expected finite"):
        Waveform(torch.tensor([[0.0, value]]), 16000)


@pytest.mark.parametrize("shape", [(4, 8, 8, 3), (3, 8, 8), (4, 3, 0, 8), (4, 4, 8, 8), (0, 3, 8, 8)])
def test_frames_must_be_pictures(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="^frames: received (a tensor of shape|0 frames).*expected"):
        VideoFrames(torch.zeros(shape), 8)


@pytest.mark.parametrize("shape", [(5,), (1, 0), (0, 5), (1, 2, 3)])
def test_samples_must_be_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="^audio: received a tensor of shape"):
        Waveform(torch.zeros(shape), 16000)


def test_fit_length() -> None:
    assert fit_length(torch.ones(1, 3), 5).tolist() == [[1, 1, 1, 0, 0]]
    assert fit_length(torch.ones(1, 3), 2).tolist() == [[1, 1]]


@pytest.mark.parametrize("rate_hz, new_rate_hz", [(44100, 16000), (44101, 16000), (8000, 48000), (192000, 11025)])
def test_resample_keeps_tone_and_time(rate_hz: int, new_rate_hz: int) -> None:
    first, second = (torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate) for rate in (rate_hz, new_rate_hz))
    ours = resample(torch.stack([first, -0.5 * first]), rate_hz, new_rate_hz)
    edge = new_rate_hz // 20
    torch.testing.assert_close(ours[:, edge:-edge], torch.stack([second, -0.5 * second])[:, edge:-edge], atol=2e-3, rtol=0)
    assert ours.shape == (2, new_rate_hz)


@pytest.mark.parametrize("length", [1, 2, 3, 100])
def test_resample_of_a_very_short_sound(length: int) -> None:
    assert resample(torch.ones(1, length), 1_000_000, 48000).shape == (1, max(1, round(length * 0.048)))
    assert resample(torch.ones(1, length), 1, 48000).shape == (1, length * 48000)


def test_mono_is_the_mean_of_the_channels() -> None:
    sound = Waveform(torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]]), 16000)
    assert mono(sound, 16000).tolist() == [0.5, 0.5, 0.5]
    assert mono(sound, 48000).shape == (9,)


def test_clip_times() -> None:
    clip = VideoFrames(FRAMES, 8)
    assert clip.duration_s == 0.5 and clip.times_s.tolist() == [0, 0.125, 0.25, 0.375]


@pytest.mark.parametrize("name, frames, duration_s", [("bigbuckbunny", 132, 5.28), ("bikes", 250, 10.0)])
def test_real_videos(real_video: Callable[[str], Path], name: str, frames: int, duration_s: float) -> None:
    path = real_video(name)
    for source in (str(path), io.BytesIO(path.read_bytes())):
        video = VideoFile(source)
        assert len(video.times_s) == frames and video.duration_s == pytest.approx(duration_s)
        torch.testing.assert_close(video.times_s, torch.arange(frames, dtype=torch.float64) / 25)
    with av.open(str(path)) as container:  # in the order shown, though stored in another
        wanted = [
            frame.to_ndarray(format="rgb24") for number, frame in enumerate(container.decode(video=0)) if number in (0, 7, 30)
        ]
    for ours, theirs in zip(video.frames([0, 7, 30]), wanted, strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(theirs).permute(2, 0, 1) / 255)


def test_part_of_a_video(real_video: Callable[[str], Path]) -> None:
    whole, part = VideoFile(str(real_video("bikes"))), VideoFile(str(real_video("bikes")), 4.0, 1.0)
    assert len(part.times_s) == 25 and part.times_s[0] == 0 and part.duration_s == pytest.approx(1.0)
    assert torch.equal(*(next(video.frames([index])) for video, index in ((whole, 103), (part, 3))))
    rest = VideoFile(str(real_video("bikes")), 9.0)
    assert len(rest.times_s) == 25 and rest.duration_s == pytest.approx(1.0)
    with pytest.raises(InputError, match="^video file '.*bikes.mp4': received no frame from 60 s.*within its 10 s"):
        VideoFile(str(real_video("bikes")), 60.0).times_s


def test_a_video_of_varying_rate_is_timed_by_its_stamps(write_video: Callable[..., Path], tmp_path: Path) -> None:
    """Dark for the first 1.5 s in 15 frames, then bright for 2.5 s in 5: the clips must be one dark, three bright."""
    times_s = [0.1 * i for i in range(15)] + [1.5 + 0.5 * i for i in range(5)]
    video = VideoFile(str(write_video(tmp_path / "varying.mp4", times_s, [40] * 15 + [200] * 5)))
    torch.testing.assert_close(video.times_s, torch.tensor(times_s, dtype=torch.float64), atol=1e-4, rtol=0)
    assert video.duration_s == pytest.approx(4.0, abs=0.51)  # the last frame's own time is the writer's guess
    seen = vision_input(video, [(float(i), i + 1.0) for i in range(4)]).mean((1, 3, 4))  # (4 clips, 2 frames)
    assert ((seen > 0).tolist()) == [[False, False], [False, True], [True, True], [True, True]]


def test_sound_without_picture(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(InputError, match="^video file '.*sound.m4a': received a file without a picture stream; expect"):
        VideoFile(str(path)).times_s


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 50])
def test_unreadable_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match="^video file '.*broken.mp4': received something that cannot be read"):
        VideoFile(str(path)).times_s
    with pytest.raises(InputError, match="^video: received something that cannot be read"):
        VideoFile(io.BytesIO(content)).times_s


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^video file '.*none.mp4': received something that cannot be read"):
        VideoFile(str(tmp_path / "none.mp4")).duration_s


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_truncated_file(write_video: Callable[..., Path], tmp_path: Path, options: dict[str, str]) -> None:
    path = write_video(tmp_path / "whole.mp4", [i / 25 for i in range(100)], [i * 2 for i in range(100)], options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(InputError, match="^video file '.*whole.mp4': received "):
        video = VideoFile(str(path))
        list(video.frames([0, len(video.times_s) - 1]))


def test_damaged_file(write_video: Callable[..., Path], tmp_path: Path) -> None:
    path = write_video(tmp_path / "whole.mp4", [i / 25 for i in range(20)], [i * 9 for i in range(20)])
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in list(container.demux(video=0))[3:20]:
            content[packet.pos : packet.pos + packet.size] = bytes([255]) * packet.size
    path.write_bytes(content)
    video = VideoFile(str(path))
    assert len(video.times_s) == 20
    with pytest.raises(InputError, match="^video file '.*whole.mp4': received a file whose frame 3 cannot be decoded"):
        list(video.frames([3]))
