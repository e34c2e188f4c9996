"""What ImageBind takes in: one-second segments of video and audio, in its own input format.

Sources: the authors' released V2A code as listed in the design notes; ImageBind (Girdhar et al., CVPR 2023),
data.py; pytorchvideo's ConstantClipsPerVideoSampler and UniformTemporalSubsample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..media.types import Segment
from .fbank import fbank

RATE_HZ = 16000
CLIP_S = 1.0
FRAMES_PER_CLIP = 2
SIDE = 224
MEL_BINS = 128
MEL_FRAMES = 204
MEL_MEAN, MEL_STD = -4.268, 9.138
RGB_MEAN = (0.48145466, 0.4578275, 0.40821073)
RGB_STD = (0.26862954, 0.26130258, 0.27577711)


def clip_segments(duration_s: float) -> list[Segment]:
    """ceil(duration) segments of one second, where pytorchvideo 0.1.5 puts them: (duration - 1) / count apart."""
    count = max(1, math.ceil(duration_s - 1e-6))
    stride = max(duration_s - CLIP_S, 0.0) / count
    return [(i * stride, i * stride + CLIP_S) for i in range(count)]


def frame_indices(times_s: Tensor, segment: Segment, count: int = FRAMES_PER_CLIP) -> list[int]:
    """`count` frames spread evenly over those that appear within the segment, first and last included.

    A segment in which no frame appears (a video slower than one frame a second) takes the frame then on screen.
    """
    first, stop = (int(torch.searchsorted(times_s, edge - 1e-6)) for edge in segment)
    if first >= stop:
        return [max(first - 1, 0)] * count
    steps = torch.linspace(0, stop - first - 1, count)
    return [first + int(step) for step in steps]


def sample_frame_indices(times_s: Tensor, segments: Sequence[Segment]) -> tuple[list[int], Tensor]:
    """The frames that some segment looks at, rising, and for each segment the positions of its own two in that list, (S, 2)."""
    picks = [frame_indices(times_s, segment) for segment in segments]
    wanted = sorted({frame for pick in picks for frame in pick})
    position = {frame: i for i, frame in enumerate(wanted)}
    return wanted, torch.tensor([[position[frame] for frame in pick] for pick in picks])


def clips_of(frames: Tensor, index: Tensor) -> Tensor:
    """Frames (B, n, 3, 224, 224), 0..1, and positions (S, 2) in n -> (B, S, 3, 2, 224, 224), normalised."""
    clips = frames[:, index].transpose(2, 3)
    mean, std = _rgb(clips.dtype, clips.device)
    return (clips - mean) / std


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # else the first caller's mode would be kept with the cached tensors
def _rgb(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """CLIP's mean and standard deviation of each channel, (3, 1, 1, 1); kept on the device, for they are used at every step."""
    mean, std = (torch.tensor(v, dtype=dtype, device=device).view(3, 1, 1, 1) for v in (RGB_MEAN, RGB_STD))
    return mean, std


def to_square(frames: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 3, 224, 224): the short side scaled to 224, then the long side squashed; bilinear.

    The squash is antialiased, as torchvision's Resize is in the authors' environment; the scaling is not.
    """
    height, width = frames.shape[-2:]
    if width < height:
        size = (math.floor(height / width * SIDE), SIDE)
    else:
        size = (SIDE, math.floor(width / height * SIDE))
    scaled = interpolate(frames, size=size, mode="bilinear", align_corners=False)
    return interpolate(scaled, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)


def audio_input(samples: Tensor, segments: Sequence[Segment]) -> Tensor:
    """(B, n) at 16 kHz -> (B, S, 1, 128, 204), differentiable: log-mel of each segment, zero-padded, normalised."""
    clips = [samples[:, int(start * RATE_HZ) : int(stop * RATE_HZ)] for start, stop in segments]
    if len({clip.shape[-1] for clip in clips}) == 1:
        mels = _to_length(_mel(torch.stack(clips, 1)))  # (B, S, frames, 128)
    else:  # rounding of the segments' edges left clips that differ by a sample
        mels = torch.stack([_to_length(_mel(clip)) for clip in clips], 1)
    return ((mels.transpose(-1, -2) - MEL_MEAN) / MEL_STD).unsqueeze(2)


def _mel(clips: Tensor) -> Tensor:
    return fbank(clips - clips.mean(-1, keepdim=True), bins=MEL_BINS, rate_hz=RATE_HZ)


def _to_length(mels: Tensor) -> Tensor:
    """(..., frames, 128) -> (..., 204, 128): cut or padded with zeros, before normalisation."""
    return pad(mels, (0, 0, 0, MEL_FRAMES - mels.shape[-2]))
