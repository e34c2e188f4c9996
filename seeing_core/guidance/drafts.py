"""Drafts: a run may begin with any noise, and much of what it becomes is settled by which.

Where the prompt leaves a thing open, the noise decides it, and no gradient that comes later turns a drum into a bell. So several
noises are denoised in a few coarse steps, the binder compares what came of them, and the run begins with the best one's. Random
search over initial noise with a verifier: Ma et al., "Inference-time scaling for diffusion models beyond scaling denoising
steps", 2025. What is compared has not been guided, so it is nothing that the binder could have been fooled with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..generators.base import Generator, NoiseLevel
from .losses import MOMENT_TERMS, PromptTerm, WeightedLoss
from .settings import UNGUIDED, AlignSettings
from .state import SamplerState
from .sync import Curve

EVALUATIONS = 8  # of the UNet for a draft
EARLY = 1.5  # above 1 the first steps lie closer together: it is they that settle what something becomes
# Classifier-free guidance doubles the work of a draft. A sound comes out as the same thing without it; a video does not.
CFG_END_FRACTION = {"audio": 0.0, "vision": 1.0}
TOGETHER = 4  # drafts of a single sample made as one batch
UNFAITHFUL = 1e3  # more than all that the other terms can differ by
WHAT_NOT_WHEN = "drafts are compared by what they are, not by when"
FAITHFUL = 2 / 3  # a draft counts if it fits the prompt at least this well, of what the best one does


def has_drafts(settings: AlignSettings, loss: WeightedLoss) -> bool:
    """Whether a run asks for several drafts and has terms to compare them by."""
    return settings.enabled and settings.drafts > 1 and any(loss.window_terms)


@torch.no_grad()
def best_noise(
    generators: Sequence[Generator],
    loss: WeightedLoss,
    *,
    seeds: Sequence[int],
    drafts: int,
    steps: int,
    callback: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Tensor], list[list[int]]]:
    """For each generator the noise (B, ...) with which to begin, and the seeds that it is of.

    drafts: of each sample and generator; the first one begins with the noise of the run's own seed.  steps: of the run.
    callback: given the number of drafts done and of all.
    Of two generators every draft of one is compared with every draft of the other.
    """
    tried = [draft_seeds(seed, drafts) for seed in seeds]  # B rows
    together = TOGETHER if len(seeds) == 1 else 1
    embedded: dict[str, Tensor] = {}
    for place, (medium, generator) in enumerate(zip(loss.views, generators, strict=True)):
        rows = []
        for first in range(0, drafts, together):
            batch = [row[number] for number in range(first, min(first + together, drafts)) for row in tried]
            rows.append(loss.embeddings(medium, draft(medium, generator, batch, steps)).unflatten(1, (-1, len(seeds))))
            callback(place * drafts + first + len(batch) // len(seeds), len(generators) * drafts)
        embedded[medium] = torch.cat(rows, 1)
    chosen = _best(loss, embedded)
    own = [[row[number] for row, number in zip(tried, numbers, strict=True)] for numbers in chosen]
    return [generator.initial_noise(one) for generator, one in zip(generators, own, strict=True)], own


def draft_notes(seeds: Sequence[int], begun: Sequence[Sequence[int]]) -> list[str]:
    """What to tell the user: with which seeds' noise the samples began, where it is another than their own."""
    others = [(seed, own) for seed, own in zip(seeds, zip(*begun, strict=True), strict=True) if set(own) != {seed}]
    return [f"drafts: seed {seed} began with the noise of {' and '.join(map(str, own))}" for seed, own in others]


def draft_seeds(seed: int, count: int) -> list[int]:
    """The seed itself, and others that follow from it."""
    more = torch.randint(2**62, (count - 1,), generator=torch.Generator().manual_seed(seed))
    return [seed, *more.tolist()]


def draft(medium: str, generator: Generator, seeds: Sequence[int], steps: int) -> Tensor:
    """Clean latents (B, ...) in `EVALUATIONS` coarse steps through the noise levels of a run, without guidance.

    medium: "audio" or "vision", what the generator makes.
    """
    levels = coarse_levels(generator.noise_levels(steps))
    settings = replace(UNGUIDED, cfg_end_fraction=CFG_END_FRACTION[medium])
    state = SamplerState(generator, generator.initial_noise(seeds), levels, settings)
    for step in range(len(levels) - 1):
        state.denoise(step, gradients=False)
    return state.z_next


def coarse_levels(levels: Sequence[NoiseLevel]) -> list[NoiseLevel]:
    """`EVALUATIONS` + 1 of these levels, or all where there are no more, the first and the last among them."""
    last = len(levels) - 1
    places = {round(last * (i / EVALUATIONS) ** EARLY) for i in range(EVALUATIONS + 1)}
    return [levels[place] for place in sorted(places)]


@dataclass(frozen=True)
class _Drafts:
    """What the terms of a loss look at.  embeddings: by medium, each with the drafts of its own along an axis of its own."""

    embeddings: Mapping[str, Tensor]

    def embedding(self, medium: str) -> Tensor:
        return self.embeddings[medium]

    def moments(self, medium: str) -> Tensor:
        raise NotImplementedError(WHAT_NOT_WHEN)

    def curve(self, medium: str) -> Curve:
        raise NotImplementedError(WHAT_NOT_WHEN)


def _best(loss: WeightedLoss, embedded: Mapping[str, Tensor]) -> list[list[int]]:
    """For each medium the number of every sample's best draft.  embedded: by medium, (windows, drafts, B, D)."""
    media = list(embedded)
    axes = {medium: [1] * place + [-1] + [1] * (len(media) - 1 - place) for place, medium in enumerate(media)}
    total = torch.zeros(())
    for window, terms in enumerate(loss.window_terms):
        drafts = _Drafts({medium: emb[window].unflatten(0, axes[medium]) for medium, emb in embedded.items()})
        for term in terms:
            if isinstance(term, MOMENT_TERMS):
                continue
            value = term(drafts)  # (drafts of the first medium, drafts of the second, B), 1 where it does not depend on them
            total = total + term.weight * value
            if isinstance(term, PromptTerm):
                total = total + UNFAITHFUL * _strays(value, term.weight)
    shape = [emb.shape[1] for emb in embedded.values()]
    best = total.expand(*shape, -1).flatten(0, -2).argmin(0).cpu()  # (B,)
    return [[int(one) for one in numbers] for numbers in torch.unravel_index(best, shape)]


def _strays(distance: Tensor, weight: float | Tensor) -> Tensor:
    """1 for the drafts that fit the prompt less than `FAITHFUL` of what the best one does, 0 for the others."""
    fit = 1 - distance
    best = fit.amax(tuple(range(fit.ndim - 1)), keepdim=True)
    return ((fit < FAITHFUL * best) & (weight > 0)).to(fit)
