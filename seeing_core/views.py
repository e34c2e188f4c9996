"""What the binder sees or hears of a predicted x0: decoded, cut into its clips, embedded; differentiable.

A view works piece by piece (windows of a long sound, slices of frames). When there are several, each is checkpointed, so
that the memory of the backward pass is that of one piece, however long the whole is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .audio.audioldm import AudioTask
from .binders import Binder, Span
from .video.animatediff import VideoTask
from .windows import slice_size, sparing


class View(Protocol):
    """(B, ...) x0 -> the mean embedding of each group of clips, (B, D) each, and what was decoded, detached."""

    def __call__(self, x0: Tensor) -> tuple[list[Tensor], Tensor]: ...


@dataclass(frozen=True)
class SoundPiece:
    """A window of the sound: latent frames [start, stop), its length in samples, its clips from its own start."""

    start: int
    stop: int
    length: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class SoundView:
    """The sound of an AudioTask: one group of clips per window of at most 10.24 s."""

    task: AudioTask
    binder: Binder
    pieces: tuple[SoundPiece, ...]

    @classmethod
    def of(cls, task: AudioTask, binder: Binder) -> SoundView:
        pieces = []
        for window in task.windows:
            samples = window.scaled(task.model.samples_per_latent)
            length = min(samples.stop, task.length) - samples.start
            pieces.append(SoundPiece(window.start, window.stop, length,
                                     tuple(binder.clip_spans(length / task.model.rate_hz))))
        return cls(task, binder, tuple(pieces))

    def times_s(self, piece: SoundPiece) -> list[Span]:
        """The piece's clips in seconds from the start of the whole sound."""
        start = piece.start * self.task.model.samples_per_latent / self.task.model.rate_hz
        return [(start + a, start + b) for a, b in piece.spans]

    def __call__(self, x0: Tensor) -> tuple[list[Tensor], Tensor]:
        heard: list[Tensor] = []

        def embed(latents: Tensor, piece: SoundPiece) -> Tensor:
            samples = self.task.model.decode(latents)[:, : piece.length]
            if len(heard) == 0:
                heard.append(samples.detach())
            return self.binder.embed_sound(samples, piece.spans).mean(1)

        means = [sparing(embed, x0[:, :, piece.start : piece.stop], piece, several=len(self.pieces) > 1)
                 for piece in self.pieces]
        return means, heard[0]


@dataclass(frozen=True)
class PictureView:
    """The film of a VideoTask. Only the frames that the binder looks at are decoded: exact, the VAE is per frame.

    wanted: their indices, rising.  places: for each group of clips, where in `wanted` each clip's frames are, (S, k).
    slice_frames: how many are decoded at once.
    """

    task: VideoTask
    binder: Binder
    wanted: tuple[int, ...]
    places: tuple[Tensor, ...]
    slice_frames: int = 2

    @classmethod
    def of(
        cls, task: VideoTask, binder: Binder, groups: Sequence[Sequence[Span]], *, slice_frames: int = 2
    ) -> PictureView:
        """groups: the clips of each group, in seconds from the film's start."""
        wanted, places = binder.frames_of(task.times_s, [span for group in groups for span in group])
        return cls(task, binder, tuple(wanted), places.split([len(group) for group in groups]), slice_frames)

    def __call__(self, x0: Tensor) -> tuple[list[Tensor], Tensor]:
        seen: list[Tensor] = []

        def squares(latents: Tensor) -> Tensor:
            frames = self.task.model.decode(latents)
            if len(seen) < len(slices):  # checkpointing decodes each slice a second time
                seen.append(frames.detach())
            return self.binder.squares(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

        slices = x0[:, :, list(self.wanted)].split(slice_size(self.slice_frames), dim=2)
        whole = torch.cat([sparing(squares, part, several=len(slices) > 1) for part in slices], 1)
        means = [sparing(self.binder.embed_squares, whole, places, several=len(self.places) > 1).mean(1)
                 for places in self.places]
        return means, torch.cat(seen, 1)
