"""What ImageBind sees and hears equals a plain re-computation, for films of all lengths, rates and sizes."""

from __future__ import annotations

import pytest
import torch

from seeing_core.binders.imagebind import ImageBind
from seeing_core.binders.imagebind_inputs import (
    audio_input,
    clip_segments,
    vision_input,
)
from seeing_core.media.types import VideoFrames
from tests import plain

DURATIONS_S = [0.3, 0.7, 1.0, 2.5, 5.28, 10.0]


def noise_film(frames: int, fps: float, height: int = 12, width: int = 20) -> VideoFrames:
    return VideoFrames(torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(frames)), fps)


@pytest.mark.parametrize("duration_s", [*DURATIONS_S, 1.001, 3.0, 9.99, 59.7])
def test_clip_times_are_pytorchvideos(duration_s: float) -> None:
    ours, theirs = (torch.tensor(times, dtype=torch.float64) for times in
                    (clip_segments(duration_s), [tuple(map(float, segment)) for segment in plain.clip_times(duration_s)]))
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("fps", [0.5, 8, 23.976, 25, 30, 60])
@pytest.mark.parametrize("duration_s", DURATIONS_S)
def test_vision_input(duration_s: float, fps: float) -> None:
    video = noise_film(max(2, round(duration_s * fps)), fps)
    ours = vision_input(video, video.duration_s)
    torch.testing.assert_close(ours, plain.vision_input(video, video.duration_s), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (16, 4096), (4096, 16), (320, 180), (180, 320), (33, 77), (224, 224), (1, 3)])
def test_vision_input_of_any_size(size: tuple[int, int]) -> None:
    video = noise_film(2, 4, *size)
    ours = vision_input(video, video.duration_s)
    assert ours.shape == (1, 3, 2, 224, 224)
    torch.testing.assert_close(ours, plain.vision_input(video, video.duration_s), atol=1e-5, rtol=0)


@pytest.mark.parametrize("duration_s", DURATIONS_S)
def test_audio_input(duration_s: float) -> None:
    samples = 0.3 * torch.randn(2, round(duration_s * 16000), generator=torch.Generator().manual_seed(5)) + 0.1
    ours = audio_input(samples, duration_s)
    torch.testing.assert_close(ours, torch.stack([plain.audio_input(row) for row in samples]), atol=1e-4, rtol=0)


def test_embeddings_equal_the_models_own_average_of_clips(binder: ImageBind, video: VideoFrames) -> None:
    segments = clip_segments(2.0)
    samples = torch.randn(3, 32000, generator=torch.Generator().manual_seed(2))
    seen = binder.towers({"vision": plain.vision_input(video, 2.0)[None]})["vision"]
    heard = binder.towers({"audio": torch.stack([plain.audio_input(row) for row in samples])})["audio"]
    torch.testing.assert_close(binder.embed_video(video, segments).mean(0, keepdim=True), seen, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(binder.embed_audio(samples, segments).mean(1), heard, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_part_of_the_sound(binder: ImageBind) -> None:
    samples = torch.randn(1, 24000, generator=torch.Generator().manual_seed(3)).requires_grad_()
    binder.embed_audio(samples, [(0.0, 1.0), (0.5, 1.5)]).square().sum().backward()
    assert torch.isfinite(samples.grad).all()
    assert samples.grad.view(15, 1600).abs().sum(1).min() > 0
