"""What the binder sees or hears of a predicted x0: decoded, cut into its clips, embedded; differentiable.

A view whose `decoded` is set takes what x0 decodes to in its place, where others want that too (`objectives.Decoded`).

Clips come in groups (a window of a long sound, 10 s of a long film), each judged by its own mean. Groups are embedded one at
a time, so that memory is that of one group, however long the whole is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..generators.audioldm import ConditionedAudioLDM
from ..augment import Augment
from ..binders.base import Binder, Segment
from ..generators.animatediff import ConditionedAnimateDiff
from ..generators.windows import sparing

MARGIN = 8  # latent frames (0.32 s) decoded on both sides of clips that are decoded alone


class View(Protocol):
    """An x0 as a binder takes it in."""

    @property
    def sizes(self) -> Sequence[int]:
        """How many clips each group has."""

    def embed(self, x0: Tensor, group: int, clips: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(B, ...) x0 -> the embeddings (B, S, D) of these clips of the group, and what was decoded for it, detached."""


@dataclass(frozen=True)
class SoundPiece:
    """A window of the sound: latent frames [start, stop), its length in samples, its clips from its own start."""

    start: int
    stop: int
    length: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class SoundView:
    """The sound of an AudioTask: one group of clips per window of at most 10.24 s.

    decoded: what is given are the windows' log-mels, (B, windows, T, 64).
    """

    task: ConditionedAudioLDM
    binder: Binder
    pieces: tuple[SoundPiece, ...]
    augment: Augment = field(default_factory=Augment)
    decoded: bool = False

    @classmethod
    def of(cls, task: ConditionedAudioLDM, binder: Binder, *, augment: float = 0.0) -> SoundView:
        pieces = []
        for window in task.windows:
            samples = window.scaled(task.model.samples_per_latent)
            length = min(samples.stop, task.length) - samples.start
            pieces.append(SoundPiece(window.start, window.stop, length,
                                     tuple(binder.clip_segments(length / task.model.rate_hz))))
        return cls(task, binder, tuple(pieces), Augment(augment))

    def times_s(self, piece: SoundPiece) -> list[Segment]:
        """The piece's clips in seconds from the start of the whole sound."""
        start = piece.start * self.task.model.samples_per_latent / self.task.model.rate_hz
        return [(start + a, start + b) for a, b in piece.segments]

    @property
    def sizes(self) -> list[int]:
        return [len(piece.segments) for piece in self.pieces]

    def embed(self, x0: Tensor, group: int, clips: Sequence[int]) -> tuple[Tensor, Tensor]:
        """All clips are cut from one decoded window. Of fewer, each run is decoded alone, with a margin: nearly the same."""
        piece, model = self.pieces[group], self.task.model
        per_s = model.rate_hz / model.samples_per_latent
        heard, embeddings = [], []
        for run in runs(clips):
            first = max(0, math.floor(piece.segments[run[0]][0] * per_s) - MARGIN)
            last = math.ceil(piece.segments[run[-1]][1] * per_s) + MARGIN
            if len(run) == len(piece.segments):
                first, last = 0, piece.stop - piece.start
            samples = self._samples(x0, group, first, last)[:, : piece.length - first * model.samples_per_latent]
            segments = [(start - first / per_s, stop - first / per_s) for start, stop in (piece.segments[i] for i in run)]
            embeddings.append(self.binder.embed_audio(self.augment.sound(samples, model.rate_hz), segments))
            heard.append(samples.detach())
        return torch.cat(embeddings, 1), torch.cat(heard, 1)

    def _samples(self, given: Tensor, group: int, first: int, last: int) -> Tensor:
        """(B, n): the sound of latent frames [first, last) of a window."""
        model, start = self.task.model, self.pieces[group].start
        if self.decoded:
            return model.vocode(given[:, group, first * model.mel_per_latent : last * model.mel_per_latent])
        return model.decode(given[:, :, start + first : min(start + last, self.pieces[group].stop)])


@dataclass(frozen=True)
class PictureView:
    """The film of a VideoTask. Only the frames that the binder looks at are decoded: exact, the VAE is per frame.

    groups: of each group, the frames of its clips, (S, k) indices.  slice_frames: how many are decoded at once, as in
    AlignSettings; when that takes several slices, each is decoded a second time for the backward pass.  decoded: what is given
    are all frames, (B, T, 3, H, W).
    """

    task: ConditionedAnimateDiff
    binder: Binder
    groups: tuple[Tensor, ...]
    slice_frames: int = 0
    augment: Augment = field(default_factory=Augment)
    decoded: bool = False

    @classmethod
    def of(
        cls, task: ConditionedAnimateDiff, binder: Binder, groups: Sequence[Sequence[Segment]], *, slice_frames: int = 0,
        augment: float = 0.0,
    ) -> PictureView:
        """groups: the clips of each group, in seconds from the film's start."""
        looks = [binder.sample_frame_indices(task.times_s, segments) for segments in groups]
        frames = tuple(torch.tensor(wanted)[places] for wanted, places in looks)
        return cls(task, binder, frames, slice_frames, Augment(augment))

    @property
    def sizes(self) -> list[int]:
        return [len(clips) for clips in self.groups]

    def embed(self, x0: Tensor, group: int, clips: Sequence[int]) -> tuple[Tensor, Tensor]:
        wanted, places = self.groups[group][list(clips)].unique(return_inverse=True)
        if self.decoded:
            frames = x0[:, wanted.tolist()]
            preprocess_frames = self._squares(frames)
        else:
            preprocess_frames, frames = self._decoded_squares(x0[:, :, wanted.tolist()])
        return self.binder.embed_frames(self.augment.preprocess_frames(preprocess_frames), places), frames.detach()

    def _squares(self, frames: Tensor) -> Tensor:
        return self.binder.preprocess_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    def _decoded_squares(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, n, h, w) -> the binder's squares of these frames, and the frames, detached: no graph keeps them whole."""
        slices = self.task.slices(latents, self.slice_frames)
        seen: list[Tensor] = []

        def preprocess_frames(part: Tensor) -> Tensor:
            frames = self.task.model.decode(part)
            if len(seen) < len(slices):  # checkpointing decodes each slice a second time
                seen.append(frames.detach())
            return self._squares(frames)

        whole = torch.cat([sparing(preprocess_frames, part, several=len(slices) > 1) for part in slices], 1)
        return whole, torch.cat(seen, 1)


class ClipDraw:
    """Which of a group's clips an inner step looks at: `count` in a row, the last followed by the first; 0 is all of them.

    The first is drawn anew each time, all being equally likely, so that the mean embedding is right on average. Draws are
    the same in every run.
    """

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self._random = torch.Generator().manual_seed(0)

    def __call__(self, size: int) -> list[int]:
        """Indices of the clips of a group of `size`, rising."""
        if self.count == 0 or self.count >= size:
            return list(range(size))
        first = int(torch.randint(size, (), generator=self._random))
        return sorted((first + i) % size for i in range(self.count))


def runs(indices: Sequence[int]) -> list[list[int]]:
    """Rising indices in groups of neighbours: 0 1 5 6 7 -> [0 1] [5 6 7]."""
    groups: list[list[int]] = []
    for index in indices:
        if groups and index == groups[-1][-1] + 1:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
