"""Binders: models with one embedding space for vision, sound and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..media.types import Film

Span = tuple[float, float]
"""A clip of a film or a sound: its start and end in seconds."""


class Binder(Protocol):
    """What the aligner asks of a binder. Embeddings are not normalised: the loss takes cosines."""

    rate_hz: int
    vocabulary: Sequence[str]
    """Phrases to put into words with what it sees or hears."""

    def clip_spans(self, duration_s: float) -> list[Span]:
        """The clips in which the binder looks at something of this length."""

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), D)."""

    def embed_film(self, film: Film, spans: Sequence[Span]) -> Tensor:
        """(len(spans), D)."""

    def frames_of(self, times_s: Tensor, spans: Sequence[Span]) -> tuple[list[int], Tensor]:
        """The frames it looks at of a film with these frame times, rising, and each span's own places in that list."""

    def squares(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W), 0..1 -> (N, ...), each frame as the vision tower sees it; differentiable."""

    def embed_squares(self, squares: Tensor, places: Tensor) -> Tensor:
        """squares (B, n, ...), places (S, k) in n -> (B, S, D), differentiable."""

    def embed_sound(self, samples: Tensor, spans: Sequence[Span]) -> Tensor:
        """samples (B, n) at `rate_hz` -> (B, len(spans), D), differentiable."""
