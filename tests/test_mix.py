"""A new sound beside a video's own: levels, times, ducking, loudness."""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from seeing_core.errors import InputError
from seeing_core.media.audio_file import audio_track
from seeing_core.media.mix import PEAK, Mix, loudness_lufs, presence
from seeing_core.media.mux import mux
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.media.video_file import VideoFile

RATE_HZ = 16000


def tone(pitch_hz: float, duration_s: float, level: float = 0.2, rate_hz: int = RATE_HZ, channels: int = 1) -> Waveform:
    times = torch.arange(round(duration_s * rate_hz)) / rate_hz
    return Waveform((level * torch.sin(2 * torch.pi * pitch_hz * times)).expand(channels, -1), rate_hz)


def level_of(sound: Waveform, pitch_hz: float, start_s: float, end_s: float) -> float:
    """Amplitude of a tone in a part of the first channel."""
    part = sound.samples[0, round(start_s * sound.rate_hz) : round(end_s * sound.rate_hz)].double()
    turns = 2 * torch.pi * pitch_hz * torch.arange(len(part)) / sound.rate_hz
    return 2 * abs(complex((part * turns.cos()).mean(), (part * turns.sin()).mean()))


NEW, OWN = tone(500, 1.0), tone(1500, 2.0, 0.1)


def test_replace_as_it_is_changes_nothing() -> None:
    [track] = Mix().tracks(NEW, OWN, 2.0)
    assert torch.equal(track.samples[:, :RATE_HZ], NEW.samples) and not track.samples[:, RATE_HZ:].any()
    assert track.duration_s == 2.0


def test_both_are_heard_at_their_levels() -> None:
    [track] = Mix("mix", level_db=-6.0206, own_level_db=6.0206).tracks(NEW, OWN, 2.0)
    assert level_of(track, 500, 0, 1) == pytest.approx(0.1, rel=1e-3)
    assert level_of(track, 500, 1, 2) == pytest.approx(0, abs=1e-4)
    assert level_of(track, 1500, 0, 1) == pytest.approx(0.2, rel=1e-3)
    assert level_of(track, 1500, 1, 2) == pytest.approx(0.2, rel=1e-3)


def test_a_further_track_leaves_the_first_alone() -> None:
    first, second = Mix("add a track").tracks(NEW, OWN, 2.0)
    assert torch.equal(first.samples, OWN.samples) and torch.equal(second.samples[:, :RATE_HZ], NEW.samples)
    assert len(Mix("add a track").tracks(NEW, None, 2.0)) == len(Mix("mix").tracks(NEW, None, 2.0)) == 1


@pytest.mark.parametrize(
    "offset_s, heard", [(0.0, (0.0, 1.0)), (0.5, (0.5, 1.5)), (1.5, (1.5, 2.0)), (-0.4, (0.0, 0.6)), (-2.0, None)]
)
def test_offset(offset_s: float, heard: tuple[float, float] | None) -> None:
    [track] = Mix(offset_s=offset_s).tracks(Waveform(NEW.samples * 0 + 0.5, RATE_HZ), None, 2.0)
    loud = track.samples[0].nonzero().flatten()
    assert track.duration_s == 2.0 and (len(loud) == 0) == (heard is None)
    if heard:
        assert (float(loud[0]) / RATE_HZ, (float(loud[-1]) + 1) / RATE_HZ) == heard


def test_fades_follow_what_is_left_of_the_sound() -> None:
    steady = Waveform(torch.full((1, RATE_HZ), 0.5), RATE_HZ)
    [track] = Mix(offset_s=0.5, fade_in_s=0.2, fade_out_s=0.4).tracks(steady, None, 1.2)  # heard from 0.5 to 1.2 s
    gain = track.samples[0] / 0.5
    for time_s, expected in (
        (0.5, 0.0),
        (0.6, math.sin(math.pi / 4)),
        (0.75, 1.0),
        (1.0, math.sin(math.pi / 4)),
        (1.199, 0.004),
    ):
        assert float(gain[round(time_s * RATE_HZ)]) == pytest.approx(expected, abs=2e-3)


def test_ducking_lowers_the_own_sound_while_the_new_one_sounds_and_no_longer() -> None:
    [track] = Mix("mix", ducking_db=20.0, offset_s=1.0).tracks(NEW, tone(1500, 4.0, 0.1), 4.0)
    assert level_of(track, 1500, 0.0, 0.8) == pytest.approx(0.1, rel=0.02)
    assert level_of(track, 1500, 1.05, 1.95) == pytest.approx(0.01, rel=0.05)
    assert level_of(track, 1500, 2.6, 4.0) == pytest.approx(0.1, rel=0.02)
    heard = presence(Mix(offset_s=1.0).tracks(NEW, None, 4.0)[0].samples, RATE_HZ)
    assert len(heard) == 4 * RATE_HZ and heard.diff().abs().max() < 0.001  # no step that could be heard as a click


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("target_lufs", [-14.0, -23.0])
def test_loudness(rate_hz: int, target_lufs: float) -> None:
    sound = tone(997, 3.0, 0.02, rate_hz, channels=2)
    [track] = Mix(loudness_lufs=target_lufs).tracks(sound, None, 3.0)
    assert loudness_lufs(track) == pytest.approx(target_lufs, abs=0.1)


def test_a_sine_of_full_scale_in_one_channel_measures_as_the_standard_says() -> None:
    """ITU-R BS.1770: 0 dB at 997 Hz is -3.01 LKFS."""
    assert loudness_lufs(tone(997, 2.0, 1.0, 48000)) == pytest.approx(-3.01, abs=0.05)
    assert loudness_lufs(Waveform(torch.zeros(1, 4800), 48000)) is None
    assert math.isfinite(loudness_lufs(tone(997, 0.1, 1.0, 48000)))


def test_peaks_are_not_cut_off() -> None:
    short = torch.zeros(1, 3 * RATE_HZ)
    short[0, 100:110] = 0.9
    [track] = Mix(loudness_lufs=-14.0).tracks(Waveform(short, RATE_HZ), None, 3.0)
    assert float(track.samples.abs().max()) <= PEAK + 1e-6
    [track] = Mix("mix", level_db=12).tracks(tone(500, 1, 0.8), tone(1500, 1, 0.8), 1.0)
    assert float(track.samples.abs().max()) == pytest.approx(1.0)


def test_a_stereo_own_sound_stays_stereo() -> None:
    sides = torch.stack([tone(300, 1.0).samples[0], tone(700, 1.0).samples[0]])
    [track] = Mix("mix").tracks(tone(500, 1.0), Waveform(sides, RATE_HZ), 1.0)
    assert len(track.samples) == 2
    assert level_of(track, 300, 0, 1) > 0.19 and level_of(track, 700, 0, 1) < 0.01


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"mode": "stir"}, "sound: received 'stir'; expected one of replace, mix, add a track"),
        ({"level_db": 99}, "level: received 99"),
        ({"ducking_db": -1}, "ducking: received -1"),
        ({"offset_s": math.nan}, "offset: received nan"),
        ({"fade_in_s": -0.1}, "fade in: received -0.1"),
        ({"loudness_lufs": 3}, "loudness: received 3"),
    ],
)
def test_values_out_of_range(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=f"^{named}"):
        Mix(**wrong)


@pytest.mark.parametrize("mode, count", [("replace", 1), ("mix", 1), ("add a track", 2)])
def test_in_a_file(tmp_path: Path, mode: str, count: int) -> None:
    base = mux(VideoFrames(torch.rand(16, 3, 32, 32), 8), OWN, tmp_path / "base.mp4")
    video = VideoFile(str(base))
    out = mux(video, NEW, tmp_path / "out.mp4", mix=Mix(mode), own=audio_track(video, mono=False))
    with av.open(str(out)) as container:
        assert len(container.streams.audio) == count
        lengths = [float(stream.duration * stream.time_base) for stream in container.streams.audio]
        sounds = []
        for number in range(count):
            container.seek(0)
            parts = [frame.to_ndarray() for frame in container.decode(audio=number)]
            sounds.append(Waveform(torch.from_numpy(np.concatenate(parts, 1)), RATE_HZ))
    assert lengths == pytest.approx([2.0] * count, abs=1e-3)
    new, own = level_of(sounds[-1], 500, 0.2, 0.8), level_of(sounds[0], 1500, 0.2, 0.8)
    assert new == pytest.approx(0.2, rel=0.1) and own == pytest.approx(0.0 if mode == "replace" else 0.1, abs=0.01)


def test_trim_to_shorter_counts_the_offset(tmp_path: Path) -> None:
    video = VideoFrames(torch.rand(24, 3, 32, 32), 8)
    out = mux(video, NEW, tmp_path / "out.mp4", fit="trim to shorter", mix=Mix(offset_s=0.5))
    assert VideoFile(str(out)).duration_s == pytest.approx(1.5, abs=0.126)
    with pytest.raises(InputError, match="^offset: received -1.5 s; expected one that leaves some of the sound's 1 s"):
        mux(video, NEW, tmp_path / "none.mp4", fit="trim to shorter", mix=Mix(offset_s=-1.5))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
