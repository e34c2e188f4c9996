"""When things move: dense optical flow from frame to frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..media.types import Video

FARNEBACK = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2, "flags": 0}
FLOW_SIDE = 128  # pixels
FLOW_FLOOR = 0.1  # pixels: less is taken for noise, not for a movement
Callback = Callable[[int, int], None]


@dataclass(frozen=True)
class Motion:
    """flow: (N,) mean length of the flow from the frame before, in pixels of the frames as measured.

    flow[0] repeats flow[1], as released.  times_s: (N,) when each frame appears, in seconds.  fps: frames per second.
    size: (height, width) at which the flow was measured.
    """

    flow: Tensor
    times_s: Tensor
    fps: float
    size: tuple[int, int]

    def peaks_s(self, floor: float = 0.0) -> Tensor:
        """(V,) times of the frames whose flow is larger than that of both neighbours, and at least `floor` pixels."""
        before, here, after = self.flow[:-2], self.flow[1:-1], self.flow[2:]
        return self.times_s[1:-1][(here > before) & (here > after) & (here >= floor)]


def measure_motion(video: Video, *, side: int = FLOW_SIDE, callback: Callback = lambda done, total: None) -> Motion:
    """Farneback's optical flow (2003) with the settings of AV-Align's released code (Yariv et al., AAAI 2024).

    side: frames whose short side is longer are first reduced to it. That is much faster, makes the flow of one video in
    two sizes alike, and finds large jumps: those longer than the flow's windows reach escape it in large frames. 0 keeps
    the video's own size, which is what the released code does by default.
    callback: called after every frame with the frames done and their number; may raise to cancel.
    Memory holds two frames. Raises InputError for a video of fewer than two frames.
    """
    import cv2

    count = len(video.times_s)
    if count < 2:
        raise InputError("video", f"{count} frame", "at least two frames", "Motion needs a frame before and after.")
    flow, previous = [], None
    for done, frame in enumerate(video.frames(range(count)), start=1):
        grey = _grey(frame, side)
        if previous is not None:
            field = cv2.calcOpticalFlowFarneback(previous, grey, None, **FARNEBACK)  # (H, W, 2)
            flow.append(float(cv2.magnitude(field[..., 0], field[..., 1]).mean()))
        previous = grey
        callback(done, count)
    times = video.times_s
    fps = round((count - 1) / float(times[-1] - times[0]), 6)
    return Motion(torch.tensor([flow[0], *flow], dtype=torch.float64), times, fps, grey.shape)


def _grey(frame: Tensor, side: int) -> NDArray[np.uint8]:
    """frame (3, H, W), 0..1 -> (h, w) bytes, the short side at most `side` unless that is 0."""
    import cv2

    rgb = (frame.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    short = min(grey.shape)
    if side and short > side:
        height, width = (max(1, round(length * side / short)) for length in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return grey
