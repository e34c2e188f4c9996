"""Contrastive agreement with soft labels: how far two sets of embeddings agree on what is seen, heard or said."""

import torch
from torch import Tensor

from tests.pocket.world_kinds import KINDS, Traits

TEMPERATURE = 0.1
STRANGERS = 0.15  # how alike two clips of one kind are whose traits differ
PLACES = torch.tensor([0.0, 0.5, 1.0])  # between which a trait is told


def kind_targets(kinds: Tensor) -> Tensor:
    """Certainty about the kind: indices (B,) to one-hot rows (B, K)."""
    return torch.nn.functional.one_hot(kinds, len(KINDS)).float()


def word_meanings(kinds: Tensor) -> Tensor:
    """Meanings (B, M) of words that tell kinds (B, K) and leave the traits open: as near to every clip of a kind."""
    return torch.nn.functional.pad(kinds[:, :, None], (0, len(PLACES) ** 3)).flatten(1)


def clip_meanings(kinds: Tensor, traits: list[Traits]) -> Tensor:
    """Meanings (B, M) of clips of kinds (B, K): products of two are 1 for one kind and the same traits, `STRANGERS` for
    one kind and other traits, 0 for other kinds."""
    values = torch.tensor([[one.size, one.hardness, one.force] for one in traits])  # (B, 3)
    near = (1 - 2 * (values[:, :, None] - PLACES).abs()).clamp_min(0).sqrt()  # (B, 3, P), unit length
    told = torch.einsum("bi,bj,bk->bijk", *near.unbind(1)).flatten(1)
    own = torch.cat([torch.full((len(told), 1), STRANGERS**0.5), (1 - STRANGERS) ** 0.5 * told], 1)
    return (kinds[:, :, None] * own[:, None]).flatten(1)


def agreement_loss(first: Tensor, second: Tensor, first_means: Tensor, second_means: Tensor) -> Tensor:
    """InfoNCE of unit embeddings (B, D), (C, D), each pair as positive as their meanings (B, M), (C, M) coincide.

    An ambiguous caption (equal share of every kind) is pulled to all sounds alike.
    """
    logits = first.float() @ second.float().T / TEMPERATURE
    same = first_means @ second_means.T + 1e-4
    rows = same / same.sum(1, keepdim=True)
    columns = same / same.sum(0, keepdim=True)
    return -0.5 * ((rows * logits.log_softmax(1)).sum(1).mean() + (columns * logits.log_softmax(0)).sum(0).mean())
