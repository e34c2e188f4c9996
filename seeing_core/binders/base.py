"""Binders: models with one embedding space for vision, sound and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..media.types import Video

Segment = tuple[float, float]
"""A clip of a film or a sound: its start and end in seconds."""


class Binder(Protocol):
    """What the aligner asks of a binder. Embeddings are not normalised: the loss takes cosines."""

    rate_hz: int
    vocabulary: Sequence[str]
    """Phrases to put into words with what it sees or hears."""

    def clip_segments(self, duration_s: float) -> list[Segment]:
        """The clips in which the binder looks at something of this length."""

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), D)."""

    def embed_video(self, video: Video, segments: Sequence[Segment]) -> Tensor:
        """(len(spans), D)."""

    def sample_frame_indices(self, times_s: Tensor, segments: Sequence[Segment]) -> tuple[list[int], Tensor]:
        """The frames it looks at of a film with these frame times, rising, and each span's own places in that list."""

    def preprocess_frames(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W), 0..1 -> (N, ...), each frame as the vision tower sees it; differentiable."""

    def embed_frames(self, preprocess_frames: Tensor, places: Tensor) -> Tensor:
        """squares (B, n, ...), places (S, k) in n -> (B, S, D), differentiable."""

    def embed_audio(self, samples: Tensor, segments: Sequence[Segment]) -> Tensor:
        """samples (B, n) at `rate_hz` -> (B, len(spans), D), differentiable."""
