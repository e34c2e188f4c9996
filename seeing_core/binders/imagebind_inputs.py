"""What ImageBind looks at: one-second clips of film and sound, in its own input format.

Sources: the authors' released V2A code as listed in the design notes; ImageBind (Girdhar et al., CVPR 2023),
data.py; pytorchvideo's ConstantClipsPerVideoSampler and UniformTemporalSubsample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..media.types import Video
from .base import Segment
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
    """ceil(duration) clips of one second, where pytorchvideo 0.1.5 puts them: (duration - 1) / count apart."""
    count = max(1, math.ceil(duration_s - 1e-6))
    stride = max(duration_s - CLIP_S, 0.0) / count
    return [(i * stride, i * stride + CLIP_S) for i in range(count)]


def frame_indices(times_s: Tensor, segment: Segment, count: int = FRAMES_PER_CLIP) -> list[int]:
    """`count` frames spread evenly over those that appear within the span, first and last included.

    A span in which no frame appears (a film slower than one frame a second) takes the frame then on screen.
    """
    first, stop = (int(torch.searchsorted(times_s, edge - 1e-6)) for edge in segment)
    if first >= stop:
        return [max(first - 1, 0)] * count
    steps = torch.linspace(0, stop - first - 1, count)
    return [first + int(step) for step in steps]


def vision_input(video: Video, segments: Sequence[Segment] | float) -> Tensor:
    """(S, 3, 2, 224, 224): two frames of each span; short side to 224, then squashed to a square; CLIP's mean and std.

    `spans` may be a duration in seconds: then the usual one-second clips of it.
    """
    if isinstance(segments, (int, float)):
        segments = clip_segments(segments)
    wanted, places = sample_frame_indices(video.times_s, segments)
    preprocess_frames = torch.cat([to_square(frame[None]) for frame in video.frames(wanted)])
    return clips_of(preprocess_frames[None], places)[0]


def sample_frame_indices(times_s: Tensor, segments: Sequence[Segment]) -> tuple[list[int], Tensor]:
    """The frames that some span looks at, rising, and for each span the places of its own two in that list, (S, 2)."""
    picks = [frame_indices(times_s, segment) for segment in segments]
    wanted = sorted({index for pick in picks for index in pick})
    place = {index: i for i, index in enumerate(wanted)}
    return wanted, torch.tensor([[place[index] for index in pick] for pick in picks])


def clips_of(preprocess_frames: Tensor, places: Tensor) -> Tensor:
    """squares (B, n, 3, 224, 224), 0..1, and places (S, 2) in n -> (B, S, 3, 2, 224, 224), normalised."""
    clips = preprocess_frames[:, places].transpose(2, 3)
    mean, std = (clips.new_tensor(v).view(3, 1, 1, 1) for v in (RGB_MEAN, RGB_STD))
    return (clips - mean) / std


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


def audio_input(samples: Tensor, segments: Sequence[Segment] | float) -> Tensor:
    """(B, n) at 16 kHz -> (B, S, 1, 128, 204), differentiable: log-mel of each span, zero-padded, normalised.

    `spans` may be a duration in seconds: then the usual one-second clips of it.
    """
    if isinstance(segments, (int, float)):
        segments = clip_segments(segments)
    clips = [samples[:, int(start * RATE_HZ) : int(stop * RATE_HZ)] for start, stop in segments]
    if len({clip.shape[-1] for clip in clips}) == 1:
        mels = _mel(torch.stack(clips, 1))  # (B, S, frames, 128)
        mels = _to_length(mels)
    else:  # rounding of the span's edges left clips that differ by a sample
        mels = torch.stack([_to_length(_mel(clip)) for clip in clips], 1)
    return ((mels.transpose(-1, -2) - MEL_MEAN) / MEL_STD).unsqueeze(2)


def _mel(clips: Tensor) -> Tensor:
    return fbank(clips - clips.mean(-1, keepdim=True), bins=MEL_BINS, rate_hz=RATE_HZ)


def _to_length(mels: Tensor) -> Tensor:
    """(..., frames, 128) -> (..., 204, 128): cut or padded with zeros, before normalisation."""
    return pad(mels, (0, 0, 0, MEL_FRAMES - mels.shape[-2]))
