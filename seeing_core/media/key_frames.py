"""Key frames: the few frames that best stand for a video."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from ..errors import InputError
from .types import Video

CANDIDATES = 96
THUMBNAIL = 32
LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


def key_frames(video: Video, count: int) -> list[int]:
    """Indices of `count` frames, in order of time: the most typical sharp one first found, then the most different.

    Candidates are spread evenly over the video. Each further one maximises its difference from those already chosen
    (farthest-point selection), weighted by sharpness, so that blurred frames lose. A video of fewer frames gives all.
    Raises InputError when count is not at least 1.
    """
    if count < 1:
        raise InputError("key frames", count, "a number of at least 1")
    total = len(video.times_s)
    candidates = sorted({round(i) for i in torch.linspace(0, total - 1, min(total, max(CANDIDATES, count))).tolist()})
    looks, sharpness = zip(*(_look(frame) for frame in video.frames(candidates)), strict=True)
    apart = torch.cdist(torch.stack(looks), torch.stack(looks))  # (n, n)
    crispness = torch.stack(sharpness)
    crispness = crispness / crispness.max().clamp_min(1e-6)
    chosen = [int((apart.mean(1) / (0.1 + crispness)).argmin())]
    while len(chosen) < min(count, len(candidates)):
        score = (apart[:, chosen].amin(1) + 1e-6) * (0.1 + crispness)
        score[chosen] = -1
        chosen.append(int(score.argmax()))
    return sorted(candidates[i] for i in chosen)


def _look(frame: Tensor) -> tuple[Tensor, Tensor]:
    """frame (3, H, W) -> its thumbnail as a vector, and its sharpness (the deviation of its Laplacian)."""
    thumbnail = interpolate(frame[None], size=(THUMBNAIL, THUMBNAIL), mode="area")
    grey = interpolate(frame.mean(0)[None, None], size=(8 * THUMBNAIL, 8 * THUMBNAIL), mode="bilinear")
    return thumbnail.flatten(), conv2d(grey, grey.new_tensor(LAPLACIAN)[None, None]).std()
