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
    tried = [draft_seeds(seed, drafts) for seed in seeds]  # B rows
    rows, batch = torch.arange(len(seeds)), TOGETHER if len(seeds) == 1 else len(seeds)
    media = dict(zip(loss.views, generators, strict=True))
    way = stages(drafts, steps)
    done, work = 0, len(media) * sum(stage.drafts * (stage.stop - stage.start) for stage in way)
    numbers = {medium: torch.arange(drafts)[:, None].expand(-1, len(seeds)) for medium in media}  # still in: (drafts, B)
    latents = {  # (drafts, B, ...)
        medium: torch.stack([generator.initial_noise(own) for own in zip(*tried, strict=True)])
        for medium, generator in media.items()
    }
    for stage in way:
        embedded = {}
        for medium, generator in media.items():
            noisy, seen = [], []
            for part in latents[medium].flatten(0, 1).split(batch):
                z, x0 = draft(generator, part, steps, stage)
                noisy.append(z)
                seen.append(loss.embeddings(medium, x0).unflatten(1, (-1, len(seeds))))
                done += (stage.stop - stage.start) * len(part) // len(seeds)
                callback(done, work)
            latents[medium], embedded[medium] = torch.cat(noisy).unflatten(0, (-1, len(seeds))), torch.cat(seen, 1)
        for medium, best in zip(media, _best(loss, embedded, stage.kept), strict=True):
            numbers[medium], latents[medium] = numbers[medium][best, rows], latents[medium][best, rows]
    own = [[row[number] for row, number in zip(tried, numbers[medium][0].tolist(), strict=True)] for medium in media]
    return [generator.initial_noise(one) for generator, one in zip(generators, own, strict=True)], own


def draft_notes(seeds: Sequence[int], begun: Sequence[Sequence[int]]) -> list[str]:
    """What to tell the user: with which seeds' noise the samples began, where it is another than their own."""
    others = [(seed, own) for seed, own in zip(seeds, zip(*begun, strict=True), strict=True) if set(own) != {seed}]
    return [f"drafts: seed {seed} began with the noise of {' and '.join(map(str, own))}" for seed, own in others]


def draft_seeds(seed: int, count: int) -> list[int]:
    """The seed itself, and others that follow from it."""
    more = torch.randint(2**62, (count - 1,), generator=torch.Generator().manual_seed(seed))
    return [seed, *more.tolist()]


def draft(generator: Generator, z: Tensor, steps: int, stage: Stage) -> tuple[Tensor, Tensor]:
    """Latents (B, ...) after these of the coarse steps, without guidance, and the x0 that the last one predicted, likewise.

    steps: of the run, through whose noise levels a draft goes.
    """
    levels = coarse_levels(generator.noise_levels(steps))[stage.start : stage.stop + 1]
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
