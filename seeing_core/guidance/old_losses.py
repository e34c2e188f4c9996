"""The aligner's losses (eqs. 14-16): F(a, b) = 1 - cos(a, b) between binder embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cosine_similarity


@dataclass(frozen=True)
class Target:
    """What the output must fit.

    name: "vision", "audio", "text" ...  embedding: (D,).  weight: 0 leaves it out.  clips: (S, D), where each clip of the
    output has its own part of the target.
    """

    name: str
    embedding: Tensor
    weight: float = 1.0
    clips: Tensor | None = None


def distance(a: Tensor, b: Tensor) -> Tensor:
    """F(a, b) = 1 - cos(a, b) over the last axis, from 0 (same direction) to 2."""
    return 1 - cosine_similarity(a, b, dim=-1)


def target_terms(embedding: Tensor, targets: Sequence[Target]) -> list[tuple[str, float, Tensor]]:
    """embedding (B, D) -> name, weight and distance (B,) of each target."""
    return [(target.name, target.weight, distance(embedding, target.embedding)) for target in targets]


def clip_terms(clips: Tensor, chosen: Sequence[int], targets: Sequence[Target], weight: float) -> list[tuple[str, float, Tensor]]:
    """clips (B, S, D), their places in the group -> the mean distance (B,) of each from its own part of each target."""
    if not weight:
        return []
    return [(f"{target.name} by clip", weight * target.weight, distance(clips, target.clips[..., list(chosen), :]).mean(-1))
            for target in targets if target.clips is not None]
