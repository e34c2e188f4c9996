"""The sound of files: rates, layouts, formats, parts and damage."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from seeing_core.errors import InputError
from seeing_core.media.audio_file import audio_track, read_sound
from seeing_core.media.mux import mux
from seeing_core.media.resample import mono
from seeing_core.media.types import Waveform
from seeing_core.media.video_file import VideoFile
from tests.made import bursts, jumping_video

CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}


def write_sound(path, samples, rate_hz, layout, codec="pcm_f32le", form="flt"):
    """samples (channels, n), -1..1."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate_hz, layout=layout)
        data = samples * (32767 if form.startswith("s16") else 1)
        data = data.astype(np.int16 if form.startswith("s16") else np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data.T.reshape(1, -1)), format=form, layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return str(path)


def noise(layout, count=30000):
    return np.random.default_rng(0).uniform(-0.5, 0.5, (CHANNELS[layout], count)).astype(np.float32)


@pytest.mark.parametrize("layout", CHANNELS)
@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100, 96000])
def test_every_layout_and_rate_exactly(tmp_path, layout, rate_hz):
    samples = noise(layout)
    sound = read_sound(write_sound(tmp_path / "a.wav", samples, rate_hz, layout))
    assert sound.rate_hz == rate_hz and sound.samples.shape == (1, 30000)
    assert torch.allclose(sound.samples[0], torch.from_numpy(samples.mean(0)), atol=1e-6)


def test_whole_numbers_and_bytes_in_memory(tmp_path):
    samples = noise("stereo")
    path = write_sound(tmp_path / "a.wav", samples, 44100, "stereo", "pcm_s16le", "s16")
    with open(path, "rb") as file:
        held = io.BytesIO(file.read())
    held.seek(100)
    for source in (path, held):
        assert torch.allclose(read_sound(source).samples[0], torch.from_numpy(samples.mean(0)), atol=1e-4)


def test_parts_and_what_lies_beyond_the_end(tmp_path):
    path = write_sound(tmp_path / "a.wav", noise("mono"), 10000, "mono")
    whole = read_sound(path).samples
    part = read_sound(path, start_s=0.5, length_s=1.25).samples
    assert torch.equal(part, whole[:, 5000:17500])
    beyond = read_sound(path, start_s=2.5, length_s=1.0).samples
    assert torch.equal(beyond[:, :5000], whole[:, 25000:]) and not beyond[:, 5000:].any() and beyond.shape == (1, 10000)
    before = read_sound(path, start_s=-0.2, length_s=1.0).samples
    assert not before[:, :2000].any() and torch.equal(before[:, 2000:], whole[:, :8000])


def test_resampled_sound_has_the_same_tone(tmp_path):
    time = np.arange(44100) / 44100
    path = write_sound(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time)[None].astype(np.float32), 44100, "mono")
    samples = mono(read_sound(path), 16000)
    assert samples.shape == (16000,)
    expected = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)
    assert torch.allclose(samples[200:-200], expected[200:-200], atol=2e-3)


def test_sound_of_a_video_starts_with_its_picture(tmp_path):
    video, sound = jumping_video(50, 25.0, [20]), bursts([0.8, 1.5], 2.0)
    path = mux(video, sound, tmp_path / "video.mp4")
    found = audio_track(VideoFile(str(path)))
    assert found.samples.shape == (1, 32000)
    for start in (0.8, 1.5):
        place = round(start * 16000)
        assert found.samples[0, place : place + 300].abs().max() > 0.1
        assert found.samples[0, place - 1500 : place - 200].abs().max() < 0.01
    part = audio_track(VideoFile(str(path), 0.5, 1.0))  # its first frame is the one at 0.52 s
    assert torch.equal(part.samples, found.samples[:, 8320:24000])


def test_sound_of_a_video_whose_picture_starts_late(tmp_path):
    """Picture from 0.4 s on, sound from 0: the first 0.4 s of sound come before the video."""
    path, click = tmp_path / "late.mkv", bursts([1.0], 2.0).samples.numpy()
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = output.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray((click * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
        packets = list(audio.encode(frame))
        for index in range(40):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 5 * index, np.uint8), format="rgb24")
            picture.pts, picture.time_base = index + 10, Fraction(1, 25)
            packets += video.encode(picture)
        packets += video.encode(None)
        for packet in packets:
            output.mux(packet)
    video = VideoFile(str(path))
    assert video.clock_start_s == pytest.approx(0.4, abs=0.002) and video.duration_s == pytest.approx(1.6, abs=0.005)
    loud = audio_track(video).samples[0].abs() > 0.05
    assert int(loud.nonzero()[0]) / 16000 == pytest.approx(0.6, abs=0.003)


def test_real_video_and_silent_video(real_video):
    sound = audio_track(VideoFile(str(real_video("bigbuckbunny"))))  # 5.1 at 48 kHz
    assert sound.rate_hz == 48000 and sound.samples.shape == (1, round(5.28 * 48000))
    assert 0.01 < sound.samples.abs().max() < 0.2
    assert audio_track(VideoFile(str(real_video("bikes")))) is None


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no sound")
    for path in (tmp_path / "notes.txt", tmp_path / "absent.wav"):
        with pytest.raises(InputError, match=f"{path.name}.*cannot be read.*expected a whole sound or video file"):
            read_sound(str(path))
    empty = write_sound(tmp_path / "empty.wav", np.zeros((1, 1), np.float32), 8000, "mono")
    assert isinstance(read_sound(empty), Waveform)
