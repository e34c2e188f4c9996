"""Drafts: several beginnings of a run, of which the one that fits best goes on.

Where the prompt leaves a thing open, the noise decides it, and no gradient that comes later turns a drum into a bell. So several
noises are denoised in a few coarse steps, the binder compares what comes of them, and the run goes on from the best. Most are
given up early: what something becomes shows soon. Random search over initial noise with a verifier: Ma et al., "Inference-time
scaling for diffusion models beyond scaling denoising steps", 2025; giving up early: successive halving (Jamieson and Talwalkar,
AISTATS 2016).

The beginning that drafts share with the run (`AlignSettings.draft_fraction`) is guided, if at all, by the terms of *when* alone, while
a sound keeps its texture. The binder, which says *what*, guides nothing there, so it compares what it could not have been fooled with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..generators.base import Generator, NoiseLevel
from .loop import Evaluation, Preview, Progress, denoise
from .losses import MOMENT_TERMS, PromptTerm, WeightedLoss
from .settings import UNGUIDED, AlignSettings
from .state import SamplerState
from .sync import Curve
from .trace import Comparison

EVALUATIONS = 8  # of the UNet for a draft
GUIDED_LATER = 6  # likewise, where later steps are guided
SCREENED = 3  # evaluations after which only the best go on to the end; or those of a beginning that the run goes on from
GO_ON = 1 / 4  # of the drafts, at least two
EARLY = 1.5  # above 1 the first steps lie closer together: it is they that settle what something becomes
TOGETHER = 4  # drafts of a single sample made as one batch
UNFAITHFUL = 1e3  # more than all that the other terms can differ by
WHAT_NOT_WHEN = "drafts are compared by what they are, not by when"
FAITHFUL = 2 / 3  # a draft counts if it fits the prompt at least this well, of what the best one does
PLAIN = replace(UNGUIDED, mode="x0")

Embeddings = Callable[[Tensor], tuple[Tensor, Preview]]  # of an x0 (drafts x B, ...), for each window
DraftCallback = Callable[[int, int, Sequence[Preview]], None]


def draft_count(settings: AlignSettings, loss: WeightedLoss) -> int:
    """How many drafts a run compares; 1 where it asks for no more, or has no terms to compare them by."""
    return settings.drafts if settings.enabled and any(loss.window_terms) else 1


def begins_before(settings: AlignSettings, loss: WeightedLoss) -> bool:
    """Whether anything is made before the run: drafts to compare, or a beginning of the run's own."""
    return draft_count(settings, loss) > 1 or (settings.enabled and settings.draft_fraction > 0)


@dataclass(frozen=True)
class Beginning:
    """With what a run goes on.

    step: of the run, that comes next.  latents: of each generator, (B, ...).  seeds: of each generator, whose noise they come from.
    seen: what the guided steps so far saw of them.  comparisons: of the first sample's drafts.  previews: of how its own ended.
    """

    step: int
    latents: list[Tensor]
    seeds: list[list[int]]
    seen: list[Progress]
    comparisons: list[Comparison]
    previews: tuple[Preview, ...]


@torch.no_grad()
def best_beginning(
    generators: Sequence[Generator],
    loss: WeightedLoss,
    settings: AlignSettings,
    *,
    seeds: Sequence[int],
    steps: int,
    callback: DraftCallback = lambda done, total, previews: None,
) -> Beginning:
    """The beginning of the best of `settings.drafts` drafts of each sample, the first of which is the run's own seed's.

    steps: of the run.  callback: given the number of evaluations done and of all, and what was compared last, if anything.
    Of two generators the first makes what its own seed brings, and the drafts are of the second: a choice among both would take
    the same few pairs whatever the seed, those that a binder is surest of.
    """
    plan = Plan.of(settings, draft_count(settings, loss), steps, in_time=bool(loss.of_moments()))
    tried = numbers_tried(len(generators), plan.drafts)
    count = _Count(callback, sum(plan.evaluations(own) for own in tried))
    ours = {
        medium: _Candidates(generator, [draft_seeds(seed, own) for seed in seeds], plan)
        for medium, generator, own in zip(loss.views, generators, tried, strict=True)
    }
    last = list(ours.values())[-1]
    compared: list[tuple[int, list[int], Tensor]] = []
    seen: list[list[Progress]]
    for way in plan.rounds:
        began, seen = last.numbers, [[] for _ in last.numbers]
        if way.guided:
            for own in ours.values():
                own.pair_up(way.drafts)
            noises, gains = [own.noise() for own in ours.values()], [own.gains() for own in ours.values()]
            begun, seen = begin(generators, loss, settings, noises, plan, [own.x0 for own in ours.values()], gains, count)
        else:
            begun = [
                begin([own.generator], loss, settings, [own.noise()], plan, gains=[own.gains()], count=count)[0][0]
                for own in ours.values()
            ]
        for own, (latents, x0) in zip(ours.values(), begun, strict=True):
            own.start(latents, x0)
        for stage in way.stages:
            embedded = {medium: own.go_on(stage, partial(loss.embeddings, medium), count) for medium, own in ours.items()}
            if stage.kept == stage.drafts:
                continue
            losses = _losses(loss, embedded)
            compared.append((plan.rest[stage.stop], last.numbers[:, 0].tolist(), losses[-1][:, 0]))
            for own, each in zip(ours.values(), losses, strict=True):
                own.keep(each.argsort(dim=0, stable=True)[: stage.kept])
    places = (began == last.numbers[0]).int().argmax(0).tolist()  # of those that the last round began with
    chosen = int(last.numbers[0, 0])
    previews = tuple(own.preview for own in ours.values() if own.preview)
    return Beginning(
        plan.shared[-1],
        [own.begun[0] for own in ours.values()],
        [own.seeds()[0] for own in ours.values()],
        _of_chosen(seen, places, previews),
        [
            Comparison(step, tuple(each[each < UNFAITHFUL].tolist()), float(each[then.index(chosen)]))
            for step, then, each in compared
        ],
        previews,
    )


@dataclass(frozen=True)
class Stage:
    """Some drafts on their way through these evaluations, of each sample and generator; the best of them are kept."""

    start: int
    stop: int
    drafts: int
    kept: int


@dataclass(frozen=True)
class Round:
    """Drafts from their noise to where some are kept.  guided: in the beginning that they share with the run."""

    drafts: int
    guided: bool
    stages: Sequence[Stage]

    def most(self, tried: int) -> int:
        """How many begin of a generator of which so many are tried; those that are guided begin in pairs."""
        return self.drafts if self.guided else tried


@dataclass(frozen=True)
class Plan:
    """How drafts go.

    steps: of the run.  cfg_steps: of these those on which drafts have classifier-free guidance.
    shared, rest: its steps between which their evaluations go, those that the run goes on from and the others.
    guided: which of the evaluations of the shared steps are.  gain: see `gains_of`.
    """

    steps: int
    cfg_steps: range
    shared: Sequence[int]
    rest: Sequence[int]
    guided: Sequence[int]
    gain: float
    rounds: Sequence[Round]

    @classmethod
    def of(cls, settings: AlignSettings, drafts: int, steps: int, *, in_time: bool) -> Plan:
        """in_time: whether any term of the loss says when.

        Guiding a beginning costs more than all else, and makes another thing of some, so it is done to the best quarter of those
        that were made without. What each of these came to is what its texture is kept to. Where later steps are guided, fewer
        evaluations tell enough of what a draft would come to without.

        Classifier-free guidance draws a draft to what is usual, away from what its own noise begins as. Where the beginning ends
        without it, what is predicted there tells most drafts apart, and the best are finished without as well.
        """
        shared = coarse_places(0, settings.shared_steps(steps), SCREENED, 1.0)
        changes = shared[-1] and any(settings.is_guided(step, steps) for step in range(shared[-1], steps))
        rest = coarse_places(shared[-1], steps, (GUIDED_LATER if changes else EVALUATIONS) - len(shared) + 1, EARLY)
        within = [number for number, step in enumerate(shared[:-1]) if in_time and settings.is_within(step, steps)]
        guided, to_end, kept = within[:: settings.guide_every], len(rest) - 1, going_on(drafts)
        cfg_steps = settings.cfg_steps(steps)
        without_cfg = (shared[-2] if shared[-1] else 0) not in cfg_steps
        if without_cfg:
            cfg_steps = range(cfg_steps.start, min(cfg_steps.stop, shared[-1]))
        if guided:
            finish = [Stage(0, to_end, kept, 1)] if kept > 1 else []
            rounds = [Round(drafts, False, [Stage(0, 1, drafts, kept)]), Round(kept, True, finish)]
        else:
            screened = (0 if without_cfg else 1) if shared[-1] else SCREENED
            rounds = [Round(drafts, False, stages(drafts, to_end, screened))]
        return cls(steps, cfg_steps, shared, rest, guided, settings.draft_gain, rounds)

    @property
    def drafts(self) -> int:
        return self.rounds[0].drafts

    def evaluations(self, tried: int) -> int:
        """Of the UNet of a generator of which so many drafts are tried, for one sample."""
        shared = sum(way.most(tried) for way in self.rounds) * (len(self.shared) - 1)
        rest = ((min(stage.drafts, way.most(tried)), stage) for way in self.rounds for stage in way.stages)
        return shared + sum(drafts * (stage.stop - stage.start) for drafts, stage in rest)

    def levels(self, generator: Generator, places: Sequence[int]) -> list[NoiseLevel]:
        levels = generator.noise_levels(self.steps)
        return [levels[place] for place in places]

    def cfg(self, places: Sequence[int]) -> list[int]:
        """Of the evaluations between these steps those with classifier-free guidance."""
        return [number for number, step in enumerate(places[:-1]) if step in self.cfg_steps]


def numbers_tried(generators: int, drafts: int) -> list[int]:
    """How many drafts of each generator there are."""
    return [1] * (generators - 1) + [drafts]


def gains_of(drafts: int, most: float) -> Tensor:
    """By what each draft's first prediction is multiplied: from 1, for the seed's own, evenly up to the most.

    Even the noisiest latents that a network was trained on hold a trace of a picture, the more the larger and brighter what it
    shows is. In pure noise there is none, so something small and faint is predicted (Lin et al., "Common diffusion noise schedules
    and sample steps are flawed", WACV 2024), and too few drafts become anything else.
    """
    return torch.linspace(1, most, drafts)


def going_on(drafts: int) -> int:
    """How many of them."""
    return min(drafts, max(2, math.ceil(drafts * GO_ON)))


def stages(drafts: int, evaluations: int, screened: int) -> list[Stage]:
    """The way to one draft of each sample and generator.  screened: after how many of the evaluations most are given up."""
    if drafts == 1:
        return []
    best = going_on(drafts)
    if evaluations <= screened or best == drafts:
        return [Stage(0, evaluations, drafts, 1)]
    return [Stage(0, screened, drafts, best), Stage(screened, evaluations, best, 1)]


def coarse_places(first: int, last: int, evaluations: int, early: float) -> list[int]:
    """Between first and last, both among them, one more than evaluations, or all.  early: above 1 they lie closer at first."""
    return sorted({first + round((last - first) * (i / evaluations) ** early) for i in range(evaluations + 1)})


class _Count:
    """Of the evaluations that are done."""

    def __init__(self, callback: DraftCallback, total: int) -> None:
        self.callback, self.done, self.total = callback, 0, total

    def __call__(self, more: int, *previews: Preview) -> None:
        self.done += more
        self.callback(self.done, self.total, previews)


@torch.no_grad()
def begin(
    generators: Sequence[Generator],
    loss: WeightedLoss,
    settings: AlignSettings,
    noises: Sequence[Tensor],
    plan: Plan,
    plain: Sequence[Tensor] | None = None,
    gains: Sequence[Tensor] | None = None,
    count: Callable[[int], None] = lambda more: None,
) -> tuple[list[tuple[Tensor, Tensor]], list[list[Progress]]]:
    """Drafts at the end of the steps that they share with the run, and the x0s predicted last, of each generator (drafts, B, ...).
    And what each draft saw.

    noises: of each generator, (drafts, B, ...).  plain: likewise, x0s of these drafts, whose texture those keep that are guided;
    without it none is.  gains: likewise, (drafts, B), by what each draft's first prediction is multiplied; without them none is.
    The prompt stays as it is.
    """
    settings = replace(settings, prompt_strength=0.0)
    guided = plan.guided if plain else []
    drafts, samples = noises[0].shape[:2]
    together = 1 if guided or samples > 1 else TOGETHER  # a guided step takes memory as if alone
    seen: list[list[Progress]] = [[] for _ in range(drafts)]
    begun: list[list[tuple[Tensor, Tensor]]] = [[] for _ in generators]
    levels = [plan.levels(generator, plan.shared) for generator in generators]
    for first in range(0, drafts, together):
        part = slice(first, first + together)
        states = [
            SamplerState(
                generator,
                noise[part].flatten(0, 1),
                own,
                settings,
                second_order=True,
                cfg_steps=plan.cfg(plan.shared),
                first_gain=gains[place][part].flatten() if gains and settings.draft_gain != 1 else None,
            )
            for place, (generator, noise, own) in enumerate(zip(generators, noises, levels, strict=True))
        ]
        when = loss.of_moments().keeping([own[first] for own in plain]) if plain else loss

        def callback(progress: Progress, own: list[Progress] = seen[first], drafted: int = len(seen[part])) -> None:
            if progress.evaluation is None:
                count(len(generators) * drafted)
            else:  # without what takes memory
                found = replace(progress.evaluation, gradients=(), previews=())
                own.append(Progress(plan.shared[progress.step], plan.steps, progress.inner, found))

        denoise(states, when, settings, range(len(plan.shared) - 1), guided, callback)
        for so_far, state in zip(begun, states, strict=True):
            x0 = state.plain_x0() if plan.shared[-1] else state.z_next  # nothing is predicted yet
            so_far.append((state.z_next.unflatten(0, (-1, samples)), x0.unflatten(0, (-1, samples))))
    return [(torch.cat([z for z, _ in own]), torch.cat([x0 for _, x0 in own])) for own in begun], seen


def _of_chosen(seen: Sequence[Sequence[Progress]], places: Sequence[int], previews: tuple[Preview, ...]) -> list[Progress]:
    """What the chosen drafts saw.  places: of each sample the draft's."""
    found = []
    for steps in zip(*(seen[place] for place in places), strict=True):  # of each sample the same step
        evaluations = [step.evaluation for step in steps if step.evaluation]
        loss = torch.stack([one.loss[i] for i, one in enumerate(evaluations)])
        terms = {name: torch.stack([one.terms[name][i] for i, one in enumerate(evaluations)]) for name in evaluations[0].terms}
        found.append(replace(steps[0], evaluation=Evaluation(loss, (), terms, previews)))
    return found


class _Candidates:
    """The drafts of one generator that have not been given up.

    numbers: which ones, best first, (drafts, B).  begun, latents, x0: at the beginning that the run would go on from, as far as they
    have come, and what was predicted on the way there, (drafts, B, ...).  plan: their way.
    preview: of the first sample's best, once one is left.
    """

    begun: Tensor
    latents: Tensor
    x0: Tensor

    def __init__(self, generator: Generator, tried: Sequence[Sequence[int]], plan: Plan) -> None:
        """tried: of each sample the seeds of its drafts."""
        self.generator, self.tried, self.plan = generator, tried, plan
        self.numbers = torch.arange(len(tried[0]))[:, None].expand(-1, len(tried))
        self.preview: Preview | None = None
        self._previews: list[Preview] = []

    def seeds(self) -> list[list[int]]:
        """Of each draft, for each sample."""
        return [[own[number] for own, number in zip(self.tried, row, strict=True)] for row in self.numbers.tolist()]

    def noise(self) -> Tensor:
        """(drafts, B, ...)."""
        return torch.stack([self.generator.initial_noise(seeds) for seeds in self.seeds()])

    def gains(self) -> Tensor:
        """Of the first predictions, (drafts, B)."""
        return gains_of(len(self.tried[0]), self.plan.gain)[self.numbers]

    def pair_up(self, drafts: int) -> None:
        """So many, where there is one: it begins once with each of the other generator's."""
        if len(self.numbers) == 1:
            self.numbers = self.numbers.expand(drafts, -1)
            self.x0 = self.x0.expand(drafts, *self.x0.shape[1:])

    def start(self, latents: Tensor, x0: Tensor) -> None:
        """At the beginning that the run would go on from."""
        self.begun = self.latents = latents
        self.x0 = x0

    def go_on(self, stage: Stage, embeddings: Embeddings, count: _Count) -> Tensor:
        """Through a stage, some drafts at once: what their x0 is embedded as, (windows, drafts, B, D), where any is given up."""
        samples = self.latents.shape[1]
        latents, x0s, embedded = [], [], []
        places = self.plan.rest[stage.start : stage.stop + 1]
        levels = self.plan.levels(self.generator, places)
        together = TOGETHER if samples == 1 else samples
        parts = (own.flatten(0, 1).split(together) for own in (self.latents, self.x0))
        for z, x0 in zip(*parts, strict=True):
            if stage.stop > stage.start:
                z, x0 = draft(self.generator, z, levels, cfg_steps=self.plan.cfg(places))
            latents.append(z)
            x0s.append(x0)
            drafted = len(z) // samples
            if stage.kept == stage.drafts:
                count(drafted * (stage.stop - stage.start))
                continue
            row, preview = embeddings(x0)
            embedded.append(row.unflatten(1, (-1, samples)))
            if stage.kept == 1:
                self._previews += [replace(preview, data=one[:1]) for one in preview.data.chunk(drafted)]
            count(drafted * (stage.stop - stage.start), preview)
        self.latents, self.x0 = (torch.cat(own).unflatten(0, (-1, samples)) for own in (latents, x0s))
        return torch.cat(embedded, 1) if embedded else self.x0.new_zeros(0)

    def keep(self, best: Tensor) -> None:
        """Of each sample these, (drafts, B) of those that there are."""
        samples = torch.arange(self.latents.shape[1])
        self.numbers, self.begun, self.latents, self.x0 = (
            one[best, samples] for one in (self.numbers, self.begun, self.latents, self.x0)
        )
        if self._previews:
            self.preview = self._previews[int(best[0, 0])]


def draft_notes(seeds: Sequence[int], begun: Sequence[Sequence[int]]) -> list[str]:
    """What to tell the user: with which seeds' noise the samples began, where it is another than their own."""
    others = [(seed, own) for seed, own in zip(seeds, zip(*begun, strict=True), strict=True) if set(own) != {seed}]
    return [f"drafts: seed {seed} began with the noise of {' and '.join(map(str, own))}" for seed, own in others]


def draft_seeds(seed: int, count: int) -> list[int]:
    """The seed itself, and others that follow from it."""
    more = torch.randint(2**62, (count - 1,), generator=torch.Generator().manual_seed(seed))
    return [seed, *more.tolist()]


def draft(
    generator: Generator, z: Tensor, levels: Sequence[NoiseLevel], *, cfg_steps: Container[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Latents (B, ...) after denoising through these levels without guidance, and the x0 that the last step predicted, likewise.

    cfg_steps: the steps with classifier-free guidance, by default all.
    """
    state = SamplerState(generator, z, levels, PLAIN, cfg_steps=cfg_steps)
    for step in range(len(levels) - 1):
        state.denoise(step, gradients=False)
    return state.z_next, state.predict_x0()


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

    def bands(self, medium: str) -> Tensor:
        raise NotImplementedError(WHAT_NOT_WHEN)


def _losses(loss: WeightedLoss, embedded: Mapping[str, Tensor]) -> list[Tensor]:
    """For each medium how badly every draft fits, (drafts, B); above `UNFAITHFUL` those that do not say what the user wrote.

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
    return [total.amin(axes) if axes else total for axes in others]


def _strays(distance: Tensor, weight: float | Tensor) -> Tensor:
    """1 for the drafts that fit the prompt less than `FAITHFUL` of what the best one does, 0 for the others."""
    fit = 1 - distance
    best = fit.amax(tuple(range(fit.ndim - 1)), keepdim=True)
    return ((fit < best - (1 - FAITHFUL) * best.abs()) & (weight > 0)).to(fit)
