"""The aligner's losses (eqs. 14-16): F(a, b) = 1 - cos(a, b) between binder embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cosine_similarity


@dataclass(frozen=True)
class Target:
    """What the output must fit.  embedding: (D,), e.g. the mean of a film's clip embeddings.  weight: 0 is off."""

    name: str
    embedding: Tensor
    weight: float = 1.0


def distance(a: Tensor, b: Tensor) -> Tensor:
    """F(a, b) = 1 - cos(a, b) over the last axis, from 0 (same direction) to 2."""
    return 1 - cosine_similarity(a, b, dim=-1)


def target_loss(embedding: Tensor, targets: Sequence[Target]) -> tuple[Tensor, dict[str, Tensor]]:
    """embedding (B, D) -> the weighted sum over the targets (B,), and each target's own unweighted distance (B,)."""
    terms = {target.name: distance(embedding, target.embedding) for target in targets}
    return sum(target.weight * terms[target.name] for target in targets), terms
