"""What embeddings should agree on: contrast by kind, and the traits along axes of their own.

A *meaning* says of a clip or a caption how certain each kind is, K shares, and what its traits are, three of -1 (little) to 1
(much), 0 where nothing is said of them: (K + 3,).
"""

import torch
from torch import Tensor

from tests.pocket.world_kinds import KINDS, Traits

TEMPERATURE = 0.1
TRAITS = 3
AXES = slice(-1 - TRAITS, -1)  # of an embedding; the last one is for when (`pe_av`)
TRAIT_LENGTH = 0.4  # of a unit embedding, along the axis of a trait that is at its largest
TRAIT_WEIGHT = 50.0


def kind_targets(kinds: Tensor) -> Tensor:
    """Certainty about the kind: indices (B,) to one-hot rows (B, K)."""
    return torch.nn.functional.one_hot(kinds, len(KINDS)).float()


def word_meanings(kinds: Tensor) -> Tensor:
    """Meanings (B, K + 3) of words that tell kinds (B, K) and say nothing of traits."""
    return torch.nn.functional.pad(kinds, (0, TRAITS))


def clip_meanings(kinds: Tensor, traits: list[Traits]) -> Tensor:
    """Meanings (B, K + 3) of clips of kinds (B, K)."""
    values = torch.tensor([[one.size, one.hardness, one.force] for one in traits])
    return torch.cat([kinds, 2 * values - 1], 1)


def agreement_loss(first: Tensor, second: Tensor, first_means: Tensor, second_means: Tensor) -> Tensor:
    """InfoNCE of unit embeddings (B, D), (C, D), each pair as positive as the kinds of their meanings coincide.

    An ambiguous caption (equal share of every kind) is pulled to all sounds alike.
    """
    logits = first.float() @ second.float().T / TEMPERATURE
    same = first_means[:, : len(KINDS)] @ second_means[:, : len(KINDS)].T + 1e-4
    rows = same / same.sum(1, keepdim=True)
    columns = same / same.sum(0, keepdim=True)
    return -0.5 * ((rows * logits.log_softmax(1)).sum(1).mean() + (columns * logits.log_softmax(0)).sum(0).mean())


def trait_loss(embeddings: Tensor, means: Tensor) -> Tensor:
    """How far unit embeddings (B, D) are from telling the traits of their meanings along `AXES`.

    Fixed axes, the same for what is seen and heard: by pairs alone, what differs within a kind is learned last, if at all.
    """
    return TRAIT_WEIGHT * (embeddings[:, AXES].float() - TRAIT_LENGTH * means[:, len(KINDS) :]).square().mean()
