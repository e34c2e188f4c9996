"""Made videos and sounds with known events, for the tests of the measures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from seeing_core.binders.imagebind_inputs import clips_of, sample_frame_indices, to_square
from seeing_core.binders.reading import segment_batches
from seeing_core.media.types import Segment, Video, VideoFrames, Waveform

SIDE_PX = 64
BURST_S = 0.02


def texture(side: int = 2 * SIDE_PX) -> Tensor:
    """(3, side, side), 0..1: smooth noise, which optical flow can follow."""
    noise = torch.rand(1, 3, side + 8, side + 8, generator=torch.Generator().manual_seed(0))
    smooth = avg_pool2d(noise, 5, stride=1)[0, :, :side, :side]
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def jumping_video(frames: int, fps: float, jumps: Sequence[int], *, pixels: int = 3, patch: int = SIDE_PX) -> VideoFrames:
    """A still picture, a part of which jumps sideways at exactly these frames and rests in between."""
    big, still, shift, out = texture(), texture()[:, :SIDE_PX, :SIDE_PX], 0, []
    for index in range(frames):
        shift += pixels * (index in jumps)
        frame = still.clone()
        frame[:, :patch, :patch] = big[:, :patch, shift : shift + patch]
        out.append(frame)
    return VideoFrames(torch.stack(out), fps)


def bursts(times_s: Sequence[float], duration_s: float, rate_hz: int = 16000) -> Waveform:
    """Silence with a short burst of noise at exactly each of these times; (1, n)."""
    generator = torch.Generator().manual_seed(1)
    samples = torch.zeros(1, round(duration_s * rate_hz))
    for time_s in times_s:
        start = round(time_s * rate_hz)
        part = samples[:, start : start + round(BURST_S * rate_hz)]
        part += 0.3 * torch.randn(part.shape, generator=generator)
    return Waveform(samples.clamp(-1, 1), rate_hz)


def vision_input(video: Video, segments: Sequence[Segment]) -> Tensor:
    """(S, 3, 2, 224, 224): what ImageBind's vision tower is given of all segments, in their order."""
    wanted, index = sample_frame_indices(video.times_s, segments)
    batches = list(segment_batches(video, wanted, index, 3, to_square))
    order = torch.tensor([number for numbers, _, _ in batches for number in numbers])
    return torch.cat([clips_of(frames, own)[0] for _, frames, own in batches])[order.argsort()]
