"""What ImageBind sees and hears equals a plain re-computation, for videos of all lengths, rates and sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from seeing_core.binders.base import embed_waveform
from seeing_core.binders.imagebind import ImageBind
from seeing_core.binders.imagebind_inputs import (
    audio_input,
    clip_segments,
)
from seeing_core.media.resample import mono
from seeing_core.media.types import VideoFrames, Waveform
from tests import plain
from tests.made import vision_input

DURATIONS_S = [0.3, 0.7, 1.0, 2.5, 5.28, 10.0]


def noise_video(frames: int, fps: float, height: int = 12, width: int = 20) -> VideoFrames:
    return VideoFrames(torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(frames)), fps)


@pytest.mark.parametrize("duration_s", [*DURATIONS_S, 1.001, 3.0, 9.99, 59.7])
def test_clip_times_are_pytorchvideos(duration_s: float) -> None:
    ours, theirs = (
        torch.tensor(times, dtype=torch.float64)
        for times in (clip_segments(duration_s), [tuple(map(float, segment)) for segment in plain.clip_times(duration_s)])
    )
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("fps", [0.5, 8, 23.976, 25, 30, 60])
@pytest.mark.parametrize("duration_s", DURATIONS_S)
def test_vision_input(duration_s: float, fps: float) -> None:
    video = noise_video(max(2, round(duration_s * fps)), fps)
    ours = vision_input(video, clip_segments(video.duration_s))
    torch.testing.assert_close(ours, plain.vision_input(video, video.duration_s), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (16, 4096), (4096, 16), (320, 180), (180, 320), (33, 77), (224, 224), (1, 3)])
def test_vision_input_of_any_size(size: tuple[int, int]) -> None:
    video = noise_video(2, 4, *size)
    ours = vision_input(video, clip_segments(video.duration_s))
    assert ours.shape == (1, 3, 2, 224, 224)
    torch.testing.assert_close(ours, plain.vision_input(video, video.duration_s), atol=1e-5, rtol=0)


@pytest.mark.parametrize("duration_s", DURATIONS_S)
def test_audio_input(duration_s: float) -> None:
    samples = 0.3 * torch.randn(2, round(duration_s * 16000), generator=torch.Generator().manual_seed(5)) + 0.1
    ours = audio_input(samples, clip_segments(duration_s))
    torch.testing.assert_close(ours, torch.stack([plain.audio_input(row) for row in samples]), atol=1e-4, rtol=0)


def test_embeddings_equal_the_models_own_average_of_clips(binder: ImageBind, video: VideoFrames) -> None:
    segments = clip_segments(2.0)
    samples = torch.randn(3, 32000, generator=torch.Generator().manual_seed(2))
    seen = binder.towers({"vision": plain.vision_input(video, 2.0)[None]})["vision"]
    heard = binder.towers({"audio": torch.stack([plain.audio_input(row) for row in samples])})["audio"]
    torch.testing.assert_close(binder.embed_video(video, segments).clips.mean(0, keepdim=True), seen, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(binder.embed_audio(samples, segments).clips.mean(1), heard, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_part_of_the_sound(binder: ImageBind) -> None:
    samples = torch.randn(1, 24000, generator=torch.Generator().manual_seed(3)).requires_grad_()
    binder.embed_audio(samples, [(0.0, 1.0), (0.5, 1.5)]).clips.square().sum().backward()
    assert torch.isfinite(samples.grad).all()
    assert samples.grad.view(15, 1600).abs().sum(1).min() > 0


class Watched:
    """A long video of small frames that are made when asked for, and counted."""

    def __init__(self, frames: int, fps: float) -> None:
        self.times_s, self.duration_s = torch.arange(frames, dtype=torch.float64) / fps, frames / fps
        self.read: list[int] = []

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        for index in indices:
            self.read.append(index)
            yield torch.full((3, 8, 8), index / len(self.times_s))


def test_a_long_video_is_read_once_and_embedded_in_batches(fresh_binder: ImageBind) -> None:
    """Overlapping windows of 10 s, as a long sound has them, over five minutes."""
    video = Watched(600, 2)
    segments = [(start + a, start + b) for start in range(0, 290, 8) for a, b in clip_segments(10.0)]
    batches: list[int] = []
    stem = fresh_binder.towers.modality_preprocessors["vision"].rgbt_stem
    hook = stem.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    embedded = fresh_binder.embed_video(video, segments).clips
    hook.remove()
    assert embedded.shape[0] == len(segments) == 370 and max(batches) <= 32
    assert video.read == sorted(set(video.read)) and len(video.read) > 500
    for number in (0, 11, 200, 369):  # in the order that was asked for
        torch.testing.assert_close(embedded[number], fresh_binder.embed_video(video, [segments[number]]).clips[0])


def test_a_long_target_sound_is_embedded_in_batches(binder: ImageBind) -> None:
    samples = torch.randn(2, 44100 * 50, generator=torch.Generator().manual_seed(4)) * 0.1
    segments = clip_segments(50.0)
    batches: list[int] = []
    stem = binder.towers.modality_preprocessors["audio"].rgbt_stem
    hook = stem.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    embedded = embed_waveform(binder, Waveform(samples, 44100), segments).clips
    hook.remove()
    assert batches == [32, 18] and not embedded.requires_grad
    whole = binder.embed_audio(mono(Waveform(samples, 44100), 16000)[None], segments).clips[0]
    torch.testing.assert_close(embedded, whole)
