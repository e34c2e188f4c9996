"""A video's frames as a binder takes them: read once, in order, a few segments at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..media.types import Video


def segment_batches(
    video: Video, wanted: Sequence[int], index: Tensor, size: int, prepare: Callable[[Tensor], Tensor]
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Batches of at most `size` segments: their numbers, the frames they need (1, n, ...), and their positions (size, k) in n.

    wanted, index: as `Binder.sample_frame_indices` gives them.  prepare: (1, 3, H, W) -> (1, ...), of each frame.
    Segments come in the order in which they end, so that the video is read once and no more frames are held than a batch needs.
    """
    order = sorted(range(len(index)), key=lambda number: index[number].tolist()[::-1])
    frames = enumerate(video.frames(wanted))
    prepared: dict[int, Tensor] = {}
    for start in range(0, len(order), size):
        numbers = order[start : start + size]
        last = int(index[numbers].max())
        while last not in prepared:
            position, frame = next(frames)
            prepared[position] = prepare(frame[None])
        first = int(index[order[start:]].min())
        prepared = {position: one for position, one in prepared.items() if position >= first}
        yield numbers, torch.cat(list(prepared.values()))[None], index[numbers] - first
