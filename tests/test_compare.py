"""Candidates side by side: the sheet, and the video in which each plays in turn."""

from __future__ import annotations

import av
import pytest
import torch

from seeing_core.errors import InputError
from seeing_core.media.mux import mux
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.visuals.contact_sheet import (
    CELL_WIDTH,
    GAP,
    Candidate,
    Reel,
    check_count,
    contact_sheet,
)
from tests.made import bursts, jumping_video


def tone(seconds: float, rate_hz: int, hz: float = 440.0) -> Waveform:
    return Waveform(torch.sin(torch.arange(round(seconds * rate_hz)) * 2 * torch.pi * hz / rate_hz)[None] / 2, rate_hz)


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    """A moving video with bursts, a tall grey video with a stereo tone, and a sound alone."""
    moving = Candidate("seed 1", bursts([0.5], 1.0), jumping_video(8, 8, [4]), "AV-Align 1.00")
    tall = VideoFrames(torch.full((10, 3, 90, 30), 0.5), 10)
    grey = Candidate("seed 2", Waveform(tone(0.7, 44100).samples.expand(2, -1), 44100), tall)
    return [moving, grey, Candidate("tone", tone(0.5, 8000))]


def test_sheet_shows_each_beside_the_others(candidates: list[Candidate]) -> None:
    sheet = contact_sheet(candidates)
    assert sheet.width == 3 * (CELL_WIDTH + GAP) + GAP
    columns = [sheet.crop((GAP + i * (CELL_WIDTH + GAP), 0, (i + 1) * (CELL_WIDTH + GAP), sheet.height)) for i in range(3)]
    assert len({column.tobytes() for column in columns}) == 3


@pytest.mark.parametrize("count, columns, rows", [(1, 1, 1), (2, 2, 1), (4, 2, 2), (5, 3, 2), (6, 3, 2)])
def test_sheet_of_any_number(candidates: list[Candidate], count: int, columns: int, rows: int) -> None:
    one, several = contact_sheet(candidates[2:]), contact_sheet(candidates[2:] * count)
    assert several.width - GAP == columns * (one.width - GAP) and several.height - GAP == rows * (one.height - GAP)


def test_reel_is_as_long_as_all_and_plays_each_in_its_time(candidates: list[Candidate]) -> None:
    reel = Reel(candidates)
    assert reel.duration_s == pytest.approx(1.0 + 1.0 + 0.5)
    assert len(reel.times_s) == 8 + 10 + 4 and (reel.times_s.diff() > 0).all()
    assert reel.sound.rate_hz == 44100 and reel.sound.samples.shape == (1, round(2.5 * 44100))
    heard = [
        reel.sound.samples[0, int(a * 44100) : int(b * 44100)].abs().max() > 0.1
        for a, b in ((0.4, 0.7), (1.0, 1.7), (1.75, 1.99), (2.0, 2.5))
    ]
    assert heard == [True, True, False, True]  # the second sound is shorter than its video


def test_reel_marks_only_the_one_that_plays(candidates: list[Candidate]) -> None:
    frames = list(Reel(candidates).frames([0, 5, 9, 20]))
    first, later, second, third = [[part.clone() for part in frame.split(CELL_WIDTH + GAP, dim=2)] for frame in frames]
    assert not torch.equal(first[0], later[0])  # its line moves on
    assert torch.equal(first[1], later[1]) and torch.equal(first[2], later[2])
    assert torch.equal(second[2], first[2]) and not torch.equal(second[1], first[1])
    assert not torch.equal(third[2], second[2]) and torch.equal(third[0], second[0])


def test_reel_becomes_a_video_with_sound(candidates: list[Candidate], tmp_path) -> None:
    reel = Reel(candidates)
    with av.open(str(mux(reel, reel.sound, tmp_path / "reel.mp4"))) as file:
        lengths = {stream.type: float(stream.duration * stream.time_base) for stream in file.streams}
        assert sum(1 for _ in file.decode(video=0)) == 22
    assert lengths == {"video": pytest.approx(2.5, abs=0.13), "audio": pytest.approx(2.5, abs=0.05)}


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"candidates: received {count} candidates; expected 1 to 6"):
        check_count(count)
