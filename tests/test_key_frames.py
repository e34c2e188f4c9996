"""Key frames: sharp ones, one of each scene, in order, always the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from seeing_core.errors import InputError
from seeing_core.media.key_frames import key_frames
from seeing_core.media.types import VideoFrames
from seeing_core.media.video_file import VideoFile

SCENES = 4


def picture(seed: int) -> torch.Tensor:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    fine = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(seed + 99))
    return 0.7 * interpolate(coarse, (96, 128)) + 0.3 * fine


def blurred(frame: torch.Tensor) -> torch.Tensor:
    return avg_pool2d(frame, 9, 1, 4, count_include_pad=False)


@pytest.fixture(scope="module")
def scenes() -> VideoFrames:
    """Four scenes of six frames; in each, only the third frame is sharp."""
    frames = [picture(s) if i == 2 else blurred(picture(s)) for s in range(SCENES) for i in range(6)]
    return VideoFrames(torch.cat(frames), 8)


def test_scenes_are_found_and_blurred_frames_lose(scenes: VideoFrames) -> None:
    assert key_frames(scenes, SCENES) == [2, 8, 14, 20]


def test_the_one_frame_is_sharp(scenes: VideoFrames) -> None:
    assert key_frames(scenes, 1)[0] % 6 == 2


@pytest.mark.parametrize("count", [1, 2, 5, 23, 24, 25, 1000])
def test_count_order_and_determinism(scenes: VideoFrames, count: int) -> None:
    chosen = key_frames(scenes, count)
    assert len(chosen) == min(count, 24)
    assert chosen == sorted(set(chosen)) == key_frames(scenes, count)
    assert chosen[0] >= 0 and chosen[-1] < 24


@pytest.mark.parametrize("size", [(1, 1), (4, 512), (512, 4)])
def test_odd_sizes_and_still_videos(size: tuple[int, int]) -> None:
    assert len(key_frames(VideoFrames(torch.full((5, 3, *size), 0.5), 8), 3)) == 3


def test_a_video_of_one_frame() -> None:
    assert key_frames(VideoFrames(picture(0), 8), 3) == [0]


@pytest.mark.parametrize("count", [0, -1])
def test_bad_count(scenes: VideoFrames, count: int) -> None:
    with pytest.raises(InputError, match=rf"^key frames: received {count}; expected a number of at least 1"):
        key_frames(scenes, count)


def test_a_real_video_on_disk(real_video: Callable[[str], Path]) -> None:
    video = VideoFile(str(real_video("bikes")))
    chosen = key_frames(video, 3)
    assert len(chosen) == 3 and chosen[-1] < 250
    cut = VideoFrames(torch.stack([*video.frames(range(5)), *(1 - frame for frame in video.frames(range(5)))]), 25)
    first, second = key_frames(cut, 2)
    assert first < 5 <= second
