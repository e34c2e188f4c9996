"""Drafts: a run may begin with any noise, and much of what it becomes is settled by which.

Where the prompt leaves a thing open, the noise decides it, and no gradient that comes later turns a drum into a bell. So several
noises are denoised in a few coarse steps, the binder compares what came of them, and the run begins with the best one's. Most are
given up after a few of these steps: what something becomes shows early. Random search over initial noise with a verifier: Ma et
al., "Inference-time scaling for diffusion models beyond scaling denoising steps", 2025; giving up early: successive halving
(Jamieson and Talwalkar, AISTATS 2016). What is compared has not been guided, so it is nothing that the binder could have been
fooled with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..generators.base import Generator, NoiseLevel
from .losses import MOMENT_TERMS, PromptTerm, WeightedLoss
from .settings import UNGUIDED, AlignSettings
from .state import SamplerState
from .sync import Curve

EVALUATIONS = 8  # of the UNet for a draft
SCREENED = 3  # evaluations after which only the best go on to the end
GO_ON = 1 / 4  # of the drafts, at least two
EARLY = 1.5  # above 1 the first steps lie closer together: it is they that settle what something becomes
TOGETHER = 4  # drafts of a single sample made as one batch
UNFAITHFUL = 1e3  # more than all that the other terms can differ by
WHAT_NOT_WHEN = "drafts are compared by what they are, not by when"
FAITHFUL = 2 / 3  # a draft counts if it fits the prompt at least this well, of what the best one does


def has_drafts(settings: AlignSettings, loss: WeightedLoss) -> bool:
    """Whether a run asks for several drafts and has terms to compare them by."""
    return settings.enabled and settings.drafts > 1 and any(loss.window_terms)


@dataclass(frozen=True)
class Stage:
    """Some drafts on their way through these evaluations, of each sample and generator; the best of them are kept."""

    start: int
    stop: int
    drafts: int
    kept: int

    def levels_of(self, coarse: Sequence[NoiseLevel]) -> Sequence[NoiseLevel]:
        """The noise levels between which its evaluations go, of all the coarse ones."""
        return coarse[self.start : self.stop + 1]


def stages(drafts: int, steps: int) -> list[Stage]:
    """The way to one draft of each sample and generator.  steps: of the run, which drafts do not have more of."""
    evaluations, best = min(EVALUATIONS, steps), max(2, math.ceil(drafts * GO_ON))
    if evaluations <= SCREENED or best >= drafts:
        return [Stage(0, evaluations, drafts, 1)]
    return [Stage(0, SCREENED, drafts, best), Stage(SCREENED, evaluations, best, 1)]


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
    callback: given the number of evaluations done and of all.
    Of two generators every draft of one is compared with every draft of the other.
    """
    ours = {
        medium: _Candidates(generator, seeds, drafts, steps) for medium, generator in zip(loss.views, generators, strict=True)
    }
    way = stages(drafts, steps)
    done, work = 0, len(ours) * sum(stage.drafts * (stage.stop - stage.start) for stage in way)
    for stage in way:
        embedded = {}
        for medium, own in ours.items():
            rows = []
            for drafted, x0 in own.go_on(stage):
                rows.append(loss.embeddings(medium, x0).unflatten(1, (-1, len(seeds))))
                done += drafted * (stage.stop - stage.start)
                callback(done, work)
            embedded[medium] = torch.cat(rows, 1)
        for own, best in zip(ours.values(), _best(loss, embedded, stage.kept), strict=True):
            own.keep(best)
    begun = [own.seeds() for own in ours.values()]
    return [generator.initial_noise(own) for generator, own in zip(generators, begun, strict=True)], begun


class _Candidates:
    """The drafts of one generator that have not been given up.

    numbers: which ones, best first, (drafts, B).  latents: as far as they have come, (drafts, B, ...).
    """

    def __init__(self, generator: Generator, seeds: Sequence[int], drafts: int, steps: int) -> None:
        self.generator, self.levels = generator, coarse_levels(generator.noise_levels(steps))
        self.tried = [draft_seeds(seed, drafts) for seed in seeds]  # B rows
        self.numbers = torch.arange(drafts)[:, None].expand(-1, len(seeds))
        self.latents = torch.stack([generator.initial_noise(own) for own in zip(*self.tried, strict=True)])

    def go_on(self, stage: Stage) -> Iterator[tuple[int, Tensor]]:
        """Through a stage, some drafts at once: how many, and what x0 they predict, (drafts x B, ...)."""
        samples = len(self.tried)
        latents = []
        for part in self.latents.flatten(0, 1).split(TOGETHER if samples == 1 else samples):
            z, x0 = draft(self.generator, part, stage.levels_of(self.levels))
            latents.append(z)
            yield len(part) // samples, x0
        self.latents = torch.cat(latents).unflatten(0, (-1, samples))

    def keep(self, best: Tensor) -> None:
        """Of each sample these, (drafts, B) of those that there are."""
        samples = torch.arange(len(self.tried))
        self.numbers, self.latents = self.numbers[best, samples], self.latents[best, samples]

    def seeds(self) -> list[int]:
        """That with which each sample's best draft began."""
        return [tried[number] for tried, number in zip(self.tried, self.numbers[0].tolist(), strict=True)]


def draft_notes(seeds: Sequence[int], begun: Sequence[Sequence[int]]) -> list[str]:
    """What to tell the user: with which seeds' noise the samples began, where it is another than their own."""
    others = [(seed, own) for seed, own in zip(seeds, zip(*begun, strict=True), strict=True) if set(own) != {seed}]
    return [f"drafts: seed {seed} began with the noise of {' and '.join(map(str, own))}" for seed, own in others]


def draft_seeds(seed: int, count: int) -> list[int]:
    """The seed itself, and others that follow from it."""
    more = torch.randint(2**62, (count - 1,), generator=torch.Generator().manual_seed(seed))
    return [seed, *more.tolist()]


def draft(generator: Generator, z: Tensor, levels: Sequence[NoiseLevel]) -> tuple[Tensor, Tensor]:
    """Latents (B, ...) after denoising through these levels without guidance, and the x0 that the last step predicted, likewise."""
    state = SamplerState(generator, z, levels, replace(UNGUIDED, mode="x0"))
    for step in range(len(levels) - 1):
        state.denoise(step, gradients=False)
    return state.z_next, state.predict_x0()


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


def _best(loss: WeightedLoss, embedded: Mapping[str, Tensor], count: int) -> list[Tensor]:
    """For each medium the numbers of every sample's best drafts, best first: (count, B).

    embedded: by medium, (windows, drafts, B, D).  Of two media a draft is as good as with the best of the other's.
    """
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
    total = total.expand(*(emb.shape[1] for emb in embedded.values()), -1).cpu()
    others = [[axis for axis in range(len(media)) if axis != own] for own in range(len(media))]
    return [(total.amin(axes) if axes else total).argsort(dim=0, stable=True)[:count] for axes in others]


def _strays(distance: Tensor, weight: float | Tensor) -> Tensor:
    """1 for the drafts that fit the prompt less than `FAITHFUL` of what the best one does, 0 for the others."""
    fit = 1 - distance
    best = fit.amax(tuple(range(fit.ndim - 1)), keepdim=True)
    return ((fit < FAITHFUL * best) & (weight > 0)).to(fit)
