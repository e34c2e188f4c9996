"""Drafts: the run begins with the noise whose draft fits best, among those that fit the prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from seeing_core.binders.imagebind import ImageBind
from seeing_core.errors import InputError
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.guidance.clips import AudioView
from seeing_core.guidance.drafts import Stage, _best, best_noise, coarse_levels, draft, draft_seeds, stages
from seeing_core.guidance.losses import PairTerm, PromptTerm, TargetTerm, WeightedLoss
from seeing_core.guidance.settings import AlignSettings
from seeing_core.media.types import VideoFrames
from seeing_core.tasks import RunConfig, image_to_audio, video_and_audio, video_to_audio

SETTINGS = AlignSettings("x0", start_fraction=0.0, end_fraction=0.3)
EAST, NORTH, BETWEEN = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.8, 0.6])


def test_seeds_of_drafts() -> None:
    assert draft_seeds(7, 1) == [7]
    assert draft_seeds(7, 4)[0] == 7 and draft_seeds(7, 4) == draft_seeds(7, 6)[:4]
    assert len(set(draft_seeds(7, 64)) | set(draft_seeds(8, 64))) == 128


def test_coarse_levels_are_dense_where_it_is_settled_what_something_becomes(exact_audioldm: AudioLDM) -> None:
    levels = exact_audioldm.conditioned(["a bell"], duration_s=1.0).noise_levels(30)
    coarse = coarse_levels(levels)
    assert len(coarse) == 9 and (coarse[0], coarse[-1]) == (levels[0], levels[-1])
    places = [levels.index(level) for level in coarse]
    assert all(a < b for a, b in zip(places, places[1:])) and places[1] - places[0] < places[-1] - places[-2]
    assert coarse_levels(levels[:5]) == levels[:5]


def test_the_best_is_what_a_plain_search_finds(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    generator = exact_audioldm.conditioned(["noise"], duration_s=1.0)
    view = AudioView(generator, exact_binder)
    target = exact_binder.embed_text(["rain"], "vision")[0]
    loss = WeightedLoss({"audio": view}, [[TargetTerm("vision", 1.0, "audio", target)]])
    levels, counted = coarse_levels(generator.noise_levels(10)), list[tuple[int, int]]()
    [noise], [begun] = best_noise(
        [generator], loss, seeds=[3], drafts=6, steps=10, callback=lambda done, total: counted.append((done, total))
    )

    def fit(seed: int, evaluations: int) -> float:
        _, x0 = draft(generator, generator.initial_noise([seed]), levels[: evaluations + 1])
        decoded = generator.decode(x0, [0])
        return float(torch.cosine_similarity(view.embed(decoded, [0], 0)[0].clips[0, 0], target, dim=0))

    going_on = sorted(draft_seeds(3, 6), key=lambda seed: -fit(seed, 3))[:2]
    assert begun == [max(going_on, key=lambda seed: fit(seed, 8))]
    assert torch.equal(noise, generator.initial_noise(begun))
    assert counted == [(12, 28), (18, 28), (28, 28)]


def test_most_drafts_are_given_up_early() -> None:
    assert stages(16, 30) == [Stage(0, 3, 16, 4), Stage(3, 8, 4, 1)]
    assert stages(3, 30) == [Stage(0, 3, 3, 2), Stage(3, 8, 2, 1)]
    assert stages(2, 30) == [Stage(0, 8, 2, 1)]  # two are never too many to finish
    assert stages(16, 5) == [Stage(0, 3, 16, 4), Stage(3, 5, 4, 1)] and stages(16, 2) == [Stage(0, 2, 16, 1)]


def test_a_draft_in_stages_is_the_same_draft(exact_audioldm: AudioLDM) -> None:
    generator = exact_audioldm.conditioned(["noise"], duration_s=0.5)
    z = noise = generator.initial_noise([4])
    levels = coarse_levels(generator.noise_levels(10))
    for stage in stages(8, 10):
        z, x0 = draft(generator, z, stage.levels_of(levels))
    whole = draft(generator, noise, levels)
    assert torch.equal(z, whole[0]) and torch.equal(x0, whole[1])


def test_the_samples_of_a_batch_choose_each_for_themselves(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def made(*seeds: int) -> list[Tensor]:
        run = RunConfig(seeds, 4, replace(SETTINGS, drafts=3))
        return [one.samples for one in image_to_audio(exact_audioldm, exact_binder, image, run, duration_s=0.5).waveforms]

    for together, alone in zip(made(1, 2), [*made(1), *made(2)], strict=True):
        assert (together - alone).abs().max() <= 1e-4


def best(terms: list, **embedded: list[Tensor]) -> list[list[int]]:
    """Of one sample and one window."""
    drafts = {medium: torch.stack(rows)[None, :, None] for medium, rows in embedded.items()}
    return [numbers[0].tolist() for numbers in _best(WeightedLoss({}, [terms]), drafts, 1)]


def test_what_the_user_wrote_comes_before_what_the_target_suggests() -> None:
    sight = TargetTerm("vision", 1.0, "audio", NORTH)
    heard = [EAST, NORTH, BETWEEN]
    assert best([sight], audio=heard) == [[1]]
    assert best([sight, PromptTerm("text", 0.2, "audio", EAST)], audio=heard) == [
        [2]
    ]  # the nearest to sight that still says it
    assert best([sight, PromptTerm("text", torch.tensor([0.0]), "audio", EAST)], audio=heard) == [[1]]  # an empty prompt


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


def test_both_media_of_a_pair_are_chosen(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    run = RunConfig([5], 2, replace(SETTINGS, drafts=3))
    result = video_and_audio(exact_animatediff, exact_audioldm, exact_binder, run, prompt="noise", duration_s=0.5)
    assert len(result.videos) == len(result.waveforms) == 1


class Cancelled(Exception):
    pass


def test_drafts_can_be_cancelled(audioldm: AudioLDM, binder: ImageBind) -> None:
    def cancel(done: int, total: int) -> None:
        raise Cancelled

    run = RunConfig([0], 2, replace(SETTINGS, drafts=5), draft_callback=cancel)
    with pytest.raises(Cancelled):
        image_to_audio(audioldm, binder, torch.rand(1, 3, 32, 32), run, duration_s=0.5)


def test_how_many_drafts() -> None:
    for count in (0, 65):
        with pytest.raises(InputError, match="drafts"):
            AlignSettings(drafts=count)
