"""Drafts: the run goes on from the beginning that fits best, among those that fit the prompt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from seeing_core.binders.imagebind import ImageBind
from seeing_core.errors import InputError
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.generators.base import AudioGenerator
from seeing_core.guidance.clips import AudioView
from seeing_core.guidance.drafts import (
    UNFAITHFUL,
    Beginning,
    Plan,
    Round,
    Stage,
    _losses,
    begin,
    best_beginning,
    coarse_places,
    draft,
    draft_seeds,
    gains_of,
)
from seeing_core.guidance.loop import Preview, sample
from seeing_core.guidance.losses import EventTimesTerm, PairTerm, PromptTerm, TargetTerm, WeightedLoss
from seeing_core.guidance.settings import AUDIO_PRESETS, UNGUIDED, AlignSettings
from seeing_core.guidance.state import SamplerState
from seeing_core.guidance.trace import Trace
from seeing_core.media.types import VideoFrames
from seeing_core.tasks import RunConfig, image_to_audio, video_and_audio, video_to_audio
from tests.benchmarks.sensitivity import changed_pocket, moved
from tests.benchmarks.sizes import pocket
from tests.pocket.world import TEST_SEEDS

SETTINGS = AlignSettings("x0", start_fraction=0.0, end_fraction=0.3)
EAST, NORTH, BETWEEN = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.8, 0.6])


def test_seeds_of_drafts() -> None:
    assert draft_seeds(7, 1) == [7]
    assert draft_seeds(7, 4)[0] == 7 and draft_seeds(7, 4) == draft_seeds(7, 6)[:4]
    assert len(set(draft_seeds(7, 64)) | set(draft_seeds(8, 64))) == 128


def test_coarse_places_are_dense_where_it_is_settled_what_something_becomes() -> None:
    places = coarse_places(0, 30, 8, 1.5)
    assert len(places) == 9 and (places[0], places[-1]) == (0, 30)
    assert all(a < b for a, b in zip(places, places[1:])) and places[1] - places[0] < places[-1] - places[-2]
    assert coarse_places(0, 4, 8, 1.5) == [0, 1, 2, 3, 4] and coarse_places(0, 9, 3, 1.0) == [0, 3, 6, 9]
    assert coarse_places(9, 30, 5, 1.5) == [9, *(9 + place for place in coarse_places(0, 21, 5, 1.5)[1:])]
    assert coarse_places(3, 3, 5, 1.5) == [3]


def test_the_best_is_what_a_plain_search_finds(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    generator = exact_audioldm.conditioned(["noise"], duration_s=1.0)
    view = AudioView(generator, exact_binder)
    target = exact_binder.embed_text(["rain"], "vision")[0]
    loss = WeightedLoss({"audio": view}, [[TargetTerm("vision", 1.0, "audio", target)]])
    settings, counted = replace(SETTINGS, drafts=6), list[tuple[int, int]]()
    plan = Plan.of(settings, 6, 10, in_time=False)
    begun = best_beginning(
        [generator], loss, settings, seeds=[3], steps=10, callback=lambda done, total, previews: counted.append((done, total))
    )

    def fit(seed: int, evaluations: int) -> float:
        _, x0 = draft(generator, generator.initial_noise([seed]), plan.levels(generator, plan.rest)[: evaluations + 1])
        decoded = generator.decode(x0, [0])
        return float(torch.cosine_similarity(view.embed(decoded, [0], 0)[0].clips[0, 0], target, dim=0))

    going_on = sorted(draft_seeds(3, 6), key=lambda seed: -fit(seed, 3))[:2]
    best = max(going_on, key=lambda seed: fit(seed, 8))
    assert begun.seeds == [[best]] and begun.step == 0 and begun.seen == []
    assert torch.equal(begun.latents[0], generator.initial_noise([best]))
    assert counted == [(12, 26), (18, 26), (26, 26)]  # of ten steps seven are coarse ones
    early, late = begun.comparisons
    assert (early.step, late.step) == (plan.rest[3], 10) and (len(early.losses), len(late.losses)) == (6, 2)
    assert early.chosen == pytest.approx(1 - fit(best, 3)) and late.chosen == min(late.losses) == pytest.approx(
        1 - fit(best, 8)
    )


def test_what_a_beginning_predicts_without_classifier_free_guidance_chooses_first(
    exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    on, off = (exact_audioldm.conditioned(["noise"], duration_s=1.0, guidance_scale=scale) for scale in (2.5, 1.0))
    view = AudioView(off, exact_binder)
    target = exact_binder.embed_text(["rain"], "vision")[0]
    loss = WeightedLoss({"audio": view}, [[TargetTerm("vision", 1.0, "audio", target)]])
    settings = replace(SETTINGS, drafts=9, start_fraction=0.3, end_fraction=0.6, draft_fraction=0.3, cfg_start_fraction=0.3)
    found = best_beginning([on], loss, settings, seeds=[3], steps=10)
    plan = Plan.of(settings, 9, 10, in_time=False)
    assert plan.shared == [0, 1, 2, 3] and [(stage.start, stage.stop) for stage in plan.rounds[0].stages] == [(0, 0), (0, 3)]

    def begun(seed: int) -> SamplerState:
        state = SamplerState(off, off.initial_noise([seed]), off.noise_levels(10)[:4], SETTINGS, second_order=True)
        for step in range(3):
            state.denoise(step, gradients=False)
        return state

    def loss_of(x0: Tensor) -> float:
        return 1 - float(torch.cosine_similarity(view.embed(off.decode(x0, [0]), [0], 0)[0].clips[0, 0], target, dim=0))

    states = {seed: begun(seed) for seed in draft_seeds(3, 9)}
    early = {seed: loss_of(state.predict_x0()) for seed, state in states.items()}
    levels = plan.levels(off, plan.rest)
    late = {seed: loss_of(draft(off, states[seed].z_next, levels)[1]) for seed in sorted(early, key=early.get)[:3]}
    best = min(late, key=late.get)
    assert found.seeds == [[best]] and found.step == 3 and torch.allclose(found.latents[0], states[best].z_next, atol=1e-12)
    assert [one.step for one in found.comparisons] == [3, 10]
    assert found.comparisons[0].losses == pytest.approx(list(early.values()))
    assert found.comparisons[1].losses == pytest.approx(list(late.values()))


def test_most_drafts_are_given_up_early() -> None:
    def way(drafts: int, steps: int, shared: float = 0.0, end: float = 0.3, cfg: float = 0.0) -> list[Stage]:
        settings = replace(SETTINGS, draft_fraction=shared, end_fraction=end, cfg_start_fraction=cfg)
        plan = Plan.of(settings, drafts, steps, in_time=False)
        assert len(plan.rounds) == 1 and not plan.rounds[0].guided and plan.drafts == drafts
        return list(plan.rounds[0].stages)

    assert way(16, 30) == [Stage(0, 3, 16, 4), Stage(3, 8, 4, 1)]
    assert way(3, 30) == [Stage(0, 3, 3, 2), Stage(3, 8, 2, 1)]
    assert way(2, 30) == [Stage(0, 8, 2, 1)]  # two are never too many to finish
    assert way(16, 5) == [Stage(0, 3, 16, 4), Stage(3, 5, 4, 1)] and way(16, 2) == [Stage(0, 2, 16, 1)]
    assert way(16, 30, 0.3) == [Stage(0, 1, 16, 4), Stage(1, 5, 4, 1)]
    assert way(16, 30, 0.3, end=0.6) == [Stage(0, 1, 16, 4), Stage(1, 3, 4, 1)]  # guided later, it becomes another thing yet
    # Without classifier-free guidance what the beginning itself predicts tells most of them apart, if there is one.
    assert way(16, 30, 0.3, end=0.6, cfg=0.3) == [Stage(0, 0, 16, 4), Stage(0, 3, 4, 1)]
    assert way(16, 30, 0.3, end=0.6, cfg=0.1) == way(16, 30, 0.3, end=0.6)  # it ends with it
    assert way(16, 30, cfg=0.3) == way(16, 30) and way(2, 30, 0.3, cfg=0.3) == [Stage(0, 5, 2, 1)]
    assert way(1, 30) == way(1, 30, 0.3) == []


def test_only_the_best_beginnings_are_guided() -> None:
    def rounds(drafts: int, **fields: Any) -> list[Round]:
        settings = replace(SETTINGS, **({"draft_fraction": 0.3} | fields))
        return list(Plan.of(settings, drafts, 30, in_time=True).rounds)

    assert rounds(28) == [Round(28, False, [Stage(0, 1, 28, 7)]), Round(7, True, [Stage(0, 5, 7, 1)])]
    assert rounds(2) == [Round(2, False, [Stage(0, 1, 2, 2)]), Round(2, True, [Stage(0, 5, 2, 1)])]
    assert rounds(1) == [Round(1, False, [Stage(0, 1, 1, 1)]), Round(1, True, [])]
    for unguided in ({"draft_fraction": 0.0}, {"start_fraction": 0.5}, {"strength": 0.0}):
        assert [one.guided for one in rounds(28, **unguided)] == [False]
    guided = Plan.of(replace(SETTINGS, draft_fraction=0.3), 28, 30, in_time=True)
    assert guided.guided == [0, 1, 2] and guided.evaluations(28) == 28 * 4 + 7 * 8 and guided.evaluations(1) == 4 + 7 * 8


def test_drafts_are_without_classifier_free_guidance_where_the_run_is(
    exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    on, off = (exact_audioldm.conditioned(["rain"], duration_s=0.5, guidance_scale=scale) for scale in (2.5, 1.0))
    noise = on.initial_noise([1])[:, None]

    def begun(generator: AudioGenerator, cfg_start: float) -> Tensor:
        settings = replace(SETTINGS, draft_fraction=0.3, cfg_start_fraction=cfg_start)
        plan = Plan.of(settings, 1, 10, in_time=False)
        loss = WeightedLoss({"audio": AudioView(generator, exact_binder)}, [[]])
        return begin([generator], loss, settings, [noise], plan)[0][0][0]

    assert torch.equal(begun(on, 0.3), begun(off, 0.0)) and not torch.equal(begun(on, 0.3), begun(on, 0.0))
    assert torch.equal(begun(on, 0.2), begun(on, 0.11)) and not torch.equal(begun(on, 0.2), begun(on, 0.3))
    plan = Plan.of(replace(SETTINGS, cfg_start_fraction=0.2, cfg_end_fraction=0.7), 4, 10, in_time=False)
    assert plan.cfg(plan.rest) == []  # a draft is finished as it began
    plan = Plan.of(replace(SETTINGS, cfg_end_fraction=0.7), 4, 10, in_time=False)
    assert [plan.rest[number] for number in plan.cfg(plan.rest)] == [step for step in plan.rest if step < 7]
    levels = on.noise_levels(10)
    assert torch.equal(draft(on, noise[0], levels, cfg_steps=[])[0], draft(off, noise[0], levels)[0])


def test_the_first_prediction_of_drafts_is_amplified_and_no_other(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    generator = exact_audioldm.conditioned(["rain"], duration_s=0.5)
    assert gains_of(5, 3.0).tolist() == [1.0, 1.5, 2.0, 2.5, 3.0] and gains_of(1, 3.0).tolist() == [1.0]
    levels, noise = generator.noise_levels(4), generator.initial_noise([1, 2])

    def started(gain: Tensor | None) -> SamplerState:
        state = SamplerState(generator, noise, levels, SETTINGS, first_gain=gain)
        state.denoise(0, gradients=False)
        return state

    plain, amplified = started(None), started(torch.tensor([1.0, 2.5]))
    more = levels[1].mix(2.5 * plain.predict_x0(), plain.eps)
    assert torch.equal(amplified.z_next[0], plain.z_next[0]) and torch.allclose(amplified.z_next[1], more[1], atol=1e-12)
    plain.z_next = amplified.z_next
    for state in (plain, amplified):
        state.denoise(1, gradients=False)
    assert torch.equal(plain.z_next, amplified.z_next)

    def best(gain: float) -> Beginning:
        settings = replace(SETTINGS, drafts=2, draft_fraction=0.5, draft_gain=gain, end_fraction=0.0)
        target = TargetTerm("text", 1.0, "audio", exact_binder.embed_text(["rain"], "vision")[0])
        loss = WeightedLoss({"audio": AudioView(generator, exact_binder)}, [[target]])
        return best_beginning([generator], loss, settings, seeds=[1], steps=4)

    first = draft_seeds(1, 2)
    for found, gain in ((best(1.0), 1.0), (best(4.0), 4.0)):
        own = torch.tensor([1.0 if found.seeds == [[first[0]]] else gain])
        state = SamplerState(
            generator, generator.initial_noise(found.seeds[0]), levels[:3], SETTINGS, second_order=True, first_gain=own
        )
        for step in range(2):
            state.denoise(step, gradients=False)
        assert torch.allclose(found.latents[0], state.z_next, atol=1e-12)


def test_what_is_kept_of_a_draft_holds_no_graph_of_the_unet(exact_audioldm: AudioLDM) -> None:
    generator = exact_audioldm.conditioned(["rain"], duration_s=0.5)
    settings = replace(SETTINGS, mode="unet")
    state = SamplerState(generator, generator.initial_noise([1]), generator.noise_levels(4), settings)
    state.denoise(0, gradients=True)
    assert state.predict_x0().requires_grad and not state.plain_x0().requires_grad
    assert torch.equal(state.predict_x0(), state.plain_x0())


def test_of_a_run_at_least_one_step_is_its_own() -> None:
    def shared(fraction: float, steps: int) -> list[int]:
        return list(Plan.of(replace(SETTINGS, draft_fraction=fraction), 4, steps, in_time=False).shared)

    assert shared(0.3, 30) == [0, 3, 6, 9] and shared(0.0, 30) == [0]
    assert shared(1.0, 4) == [0, 1, 2, 3] and shared(1.0, 1) == [0]


def test_a_draft_in_stages_is_the_same_draft(exact_audioldm: AudioLDM) -> None:
    generator = exact_audioldm.conditioned(["noise"], duration_s=0.5)
    plan = Plan.of(SETTINGS, 8, 10, in_time=False)
    z = noise = generator.initial_noise([4])
    levels = plan.levels(generator, plan.rest)
    for stage in plan.rounds[0].stages:
        z, x0 = draft(generator, z, levels[stage.start : stage.stop + 1])
    whole = draft(generator, noise, levels)
    assert torch.equal(z, whole[0]) and torch.equal(x0, whole[1])


def test_a_run_that_goes_on_is_the_run(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    generator = exact_audioldm.conditioned(["noise"], duration_s=0.5)
    loss = WeightedLoss({"audio": AudioView(generator, exact_binder)}, [[]])
    half_way, _ = draft(generator, generator.initial_noise([4, 5]), generator.noise_levels(10)[:4])

    def run(**begun: Any) -> Tensor:
        return sample([generator], loss, UNGUIDED, seeds=[4, 5], steps=10, **begun)[0]

    assert torch.equal(run(), run(first_step=3, latents=[half_way]))


def test_coarse_steps_come_to_where_fine_ones_come(pocket_audioldm: AudioLDM, pocket_binder: ImageBind) -> None:
    """Three of second order stray from the run's nine less than half as far as three of first order."""
    generator = pocket_audioldm.conditioned(["something making a sound"], duration_s=2.0)
    loss = WeightedLoss({"audio": AudioView(generator, pocket_binder)}, [[]])
    plan = Plan.of(replace(SETTINGS, draft_fraction=0.3), 1, 30, in_time=False)
    seeds = [1, 2, 3, 4]
    noise = generator.initial_noise(seeds)
    nine, _ = draft(generator, noise, generator.noise_levels(30)[:10])
    [([second_order], _)], _ = begin([generator], loss, SETTINGS, [noise[None]], plan)
    first_order, _ = draft(generator, noise, plan.levels(generator, plan.shared))
    away = [float((z - nine).norm()) for z in (second_order, first_order)]
    assert away[0] < 0.5 * away[1], away


def test_a_beginning_is_guided_by_when_and_not_by_what(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    generator = exact_audioldm.conditioned(["noise"], duration_s=0.5)
    what = TargetTerm("vision", 1.0, "audio", exact_binder.embed_text(["rain"], "vision")[0])
    settings = replace(SETTINGS, draft_fraction=0.3, inner_steps=2)
    noise = generator.initial_noise([4, 5])[:, None]

    def begun(window: list[TargetTerm], *whole: EventTimesTerm) -> tuple[Tensor, list[list[tuple[int, int, set[str]]]]]:
        loss = WeightedLoss({"audio": AudioView(generator, exact_binder)}, [window], whole)
        plan = Plan.of(settings, 2, 12, in_time=bool(loss.of_moments()))
        [(z, _)], seen = begin([generator], loss, settings, [noise], plan, [noise])
        return z, [[(one.step, one.inner, set(one.evaluation.terms)) for one in own] for own in seen]

    plain, nothing = begun([])
    by_what, still_nothing = begun([what])
    assert torch.equal(plain, by_what) and nothing == still_nothing == [[], []]
    times = EventTimesTerm(1.0, "audio", [[0.2]])
    by_when, seen = begun([], times)
    both, _ = begun([what], EventTimesTerm(1.0, "audio", [[0.2]]))
    assert torch.equal(by_when, both) and not torch.equal(by_when, plain)
    assert seen == [[(step, inner, {"sync", "texture"}) for step in (0, 1, 3) for inner in (0, 1)]] * 2  # of four steps three


def test_the_trace_tells_of_the_draft_that_goes_on(audioldm: AudioLDM, binder: ImageBind) -> None:
    video = VideoFrames(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)), 8.0)
    settings = replace(SETTINGS, drafts=5, draft_fraction=0.3, sync_weight=1.0)

    shown: list[Sequence[Preview]] = []

    def made(seed: int, drafts: int) -> tuple[Tensor, Trace]:
        run = RunConfig(
            [seed],
            10,
            replace(settings, drafts=drafts),
            event_times="0.2",
            draft_callback=lambda done, total, previews: shown.append(previews),
        )
        result = video_to_audio(audioldm, binder, video, run, duration_s=0.5)
        return result.waveforms[0].samples, result.trace

    several, trace = made(2, 5)
    assert [point.step for point in trace.points] == [0, 1, 2] and set(trace.points[0].terms) == {"sync", "texture"}
    assert [len(one.losses) for one in trace.comparisons] == [5, 2] and "5 drafts that fit the prompt" in str(trace)
    assert "drafts compared by ImageBind" in str(trace) and "guided by" not in str(trace)
    compared, goes_on = shown[-2], shown[-1]  # two finished drafts, and the better one
    best = trace.comparisons[-1].losses.index(trace.comparisons[-1].chosen)
    assert torch.equal(goes_on[0].data, compared[0].data[best : best + 1])
    [note] = [note for note in trace.notes if note.startswith("drafts: ")] or ["drafts: 2"]
    alone, other = made(int(note.rsplit(" ", 1)[1]), 1)  # can be had again without drafts
    assert (several - alone).abs().max() <= 1e-4 and other.comparisons == ()
    assert [point.loss for point in other.points] == pytest.approx([point.loss for point in trace.points], abs=1e-4)


def test_the_trace_shows_what_only_later_steps_see(audioldm: AudioLDM, binder: ImageBind) -> None:
    """Timing alone guides the draft's beginning, the binder the steps after it."""
    video = VideoFrames(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)), 8.0)
    settings = replace(SETTINGS, end_fraction=0.6, draft_fraction=0.3, sync_weight=1.0)
    run = RunConfig([2], 10, settings, event_times="0.2")
    trace = video_to_audio(audioldm, binder, video, run, duration_s=0.5).trace
    assert [sorted(point.terms) for point in trace.points] == [["sync", "texture"]] * 3 + [["sync", "vision"]] * 3
    head, *rows = str(trace).splitlines()[1:8]
    assert head.split()[3:] == ["sync", "texture", "vision"] and {len(row.split()) for row in rows} == {5}


def test_a_rounding_hardly_changes_a_sound() -> None:
    """The same seed should sound the same on every machine: wanted 0.01 of full scale for 1e-6 in one layer."""
    models, changed = pocket(), changed_pocket()
    settings = replace(AUDIO_PRESETS["balanced"], drafts=4)
    for seed in (TEST_SEEDS, TEST_SEEDS + 1):
        assert 0 < moved("v2a", models, changed, settings, seed, "vague") <= 0.01


def test_the_samples_of_a_batch_choose_each_for_themselves(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def made(*seeds: int) -> list[Tensor]:
        run = RunConfig(seeds, 4, replace(SETTINGS, drafts=3))
        return [one.samples for one in image_to_audio(exact_audioldm, exact_binder, image, run, duration_s=0.5).waveforms]

    for together, alone in zip(made(1, 2), [*made(1), *made(2)], strict=True):
        assert (together - alone).abs().max() <= 1e-4


def losses(terms: list, **embedded: list[Tensor]) -> list[Tensor]:
    """Of one sample and one window."""
    drafts = {medium: torch.stack(rows)[None, :, None] for medium, rows in embedded.items()}
    return [own[:, 0] for own in _losses(WeightedLoss({}, [terms]), drafts)]


def best(terms: list, **embedded: list[Tensor]) -> list[list[int]]:
    return [[int(own.argmin())] for own in losses(terms, **embedded)]


def test_what_the_user_wrote_comes_before_what_the_target_suggests() -> None:
    sight = TargetTerm("vision", 1.0, "audio", NORTH)
    heard = [EAST, NORTH, BETWEEN]
    assert best([sight], audio=heard) == [[1]]
    assert best([sight, PromptTerm("text", 0.2, "audio", EAST)], audio=heard) == [
        [2]
    ]  # the nearest to sight that still says it
    assert best([sight, PromptTerm("text", torch.tensor([0.0]), "audio", EAST)], audio=heard) == [[1]]  # an empty prompt
    [one] = losses([PromptTerm("text", 0.2, "audio", -EAST)], audio=[EAST])  # the best one counts, however little it fits
    assert one < UNFAITHFUL
    [strays] = losses([sight, PromptTerm("text", 0.2, "audio", EAST)], audio=heard)
    assert (strays >= UNFAITHFUL).tolist() == [False, True, False]


def test_of_two_generators_any_two_drafts_may_go_together() -> None:
    away = torch.tensor([-1.0, 0.2])
    assert best([PairTerm("vision-audio", 1.0)], vision=[EAST, away], audio=[NORTH, BETWEEN, away]) == [[1], [2]]
    words = [PromptTerm("vision-text", 0.2, "vision", EAST), PromptTerm("audio-text", 0.2, "audio", EAST)]
    assert best([PairTerm("vision-audio", 1.0), *words], vision=[EAST, away], audio=[NORTH, BETWEEN, away]) == [[0], [1]]


def test_one_draft_or_no_guidance_is_the_run_without(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def made(settings: AlignSettings) -> tuple[Tensor, tuple[str, ...]]:
        result = image_to_audio(exact_audioldm, exact_binder, image, RunConfig([2], 4, settings), duration_s=0.5)
        return result.waveforms[0].samples, result.trace.notes

    unguided = replace(SETTINGS, strength=0.0)
    assert torch.equal(made(replace(unguided, drafts=5))[0], made(unguided)[0])
    assert torch.equal(made(replace(SETTINGS, drafts=1))[0], made(SETTINGS)[0])
    nothing = replace(SETTINGS, drafts=8, draft_fraction=0.5, cfg_start_fraction=0.5, vision_weight=0.0, text_weight=0.0)
    assert torch.equal(made(nothing)[0], made(unguided)[0])  # without a term it is plain sampling
    several, notes = made(replace(SETTINGS, drafts=8))
    [note] = notes
    assert note.startswith("drafts: seed 2 began with the noise of ")
    begun = int(note.rsplit(" ", 1)[1])  # the noise can be had again without drafts
    result = image_to_audio(exact_audioldm, exact_binder, image, RunConfig([begun], 4, SETTINGS), duration_s=0.5)
    assert torch.equal(several, result.waveforms[0].samples)


def test_drafts_that_nothing_compares_are_said_not_to_be_made(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    video = VideoFrames(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)), 8.0)
    timed_only = replace(SETTINGS, binder_weight=0.0, sync_weight=1.0)

    def made(settings: AlignSettings) -> tuple[Tensor, tuple[str, ...]]:
        result = video_to_audio(exact_audioldm, exact_binder, video, RunConfig([2], 4, settings), duration_s=0.5)
        return result.waveforms[0].samples, result.trace.notes

    plain, before = made(timed_only)
    same, notes = made(replace(timed_only, drafts=8))
    assert torch.equal(plain, same)
    assert set(notes) - set(before) == {"drafts: none of the 8 were made, because nothing that compares them has a weight"}


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_of_a_pair_the_seed_decides_the_video_and_the_drafts_are_of_the_sound(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind, shared: float
) -> None:
    counted: list[tuple[int, int]] = []
    settings = replace(SETTINGS, drafts=9, draft_fraction=shared, sync_weight=1.0)
    run = RunConfig([5], 4, settings, draft_callback=lambda done, total, previews: counted.append((done, total)))
    result = video_and_audio(exact_animatediff, exact_audioldm, exact_binder, run, prompt="noise", duration_s=0.5)
    assert len(result.videos) == len(result.waveforms) == 1
    [note] = [note for note in result.trace.notes if note.startswith("drafts: ")]
    video, sound = note.removeprefix("drafts: seed 5 began with the noise of ").split(" and ")
    assert video == "5" and int(sound) in draft_seeds(5, 9)
    assert len(result.trace.comparisons[0].losses) == 9
    *on_the_way, (done, total), best = counted
    assert done == total and all(before < after <= total for (before, _), (after, _) in itertools.pairwise(on_the_way))
    assert best == (1, 1)
    assert ("texture" in result.trace.terms) == bool(shared)  # the sound of a pair that is guided keeps its own


class Cancelled(Exception):
    pass


def test_drafts_can_be_cancelled(audioldm: AudioLDM, binder: ImageBind) -> None:
    def cancel(done: int, total: int, previews: Sequence[Preview]) -> None:
        raise Cancelled

    run = RunConfig([0], 2, replace(SETTINGS, drafts=5), draft_callback=cancel)
    with pytest.raises(Cancelled):
        image_to_audio(audioldm, binder, torch.rand(1, 3, 32, 32), run, duration_s=0.5)


def test_how_many_drafts() -> None:
    for count in (0, 65):
        with pytest.raises(InputError, match="drafts"):
            AlignSettings(drafts=count)
