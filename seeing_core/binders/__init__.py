"""Binders: models with one embedding space for vision, sound and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..media import Film

Span = tuple[float, float]
"""A clip of a film or a sound: its start and end in seconds."""


class Binder(Protocol):
    """What the aligner asks of a binder. Embeddings are not normalised: the loss takes cosines."""

    rate_hz: int

    def clip_spans(self, duration_s: float) -> list[Span]:
        """The clips in which the binder looks at something of this length."""

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), D)."""

    def embed_film(self, film: Film, spans: Sequence[Span]) -> Tensor:
        """(len(spans), D)."""

    def embed_sound(self, samples: Tensor, spans: Sequence[Span]) -> Tensor:
        """samples (B, n) at `rate_hz` -> (B, len(spans), D), differentiable."""
