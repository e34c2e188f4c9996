"""Contrastive agreement with soft labels: how far two sets of embeddings agree on what is the same kind."""

import torch
from torch import Tensor

from tests.pocket.world_kinds import KINDS

TEMPERATURE = 0.1


def kind_targets(kinds: Tensor) -> Tensor:
    """Certainty about the kind: indices (B,) to one-hot rows (B, K)."""
    return torch.nn.functional.one_hot(kinds, len(KINDS)).float()


def agreement_loss(first: Tensor, second: Tensor, first_kinds: Tensor, second_kinds: Tensor) -> Tensor:
    """InfoNCE of unit embeddings (B, D), (C, D), each pair as positive as their kinds (B, K), (C, K) coincide.

    An ambiguous caption (equal share of every kind) is pulled to all sounds alike.
    """
    logits = first.float() @ second.float().T / TEMPERATURE
    same = first_kinds @ second_kinds.T + 1e-4
    rows = same / same.sum(1, keepdim=True)
    columns = same / same.sum(0, keepdim=True)
    return -0.5 * ((rows * logits.log_softmax(1)).sum(1).mean() + (columns * logits.log_softmax(0)).sum(0).mean())
