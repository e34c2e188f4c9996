"""The guided step costs what it must and no more; memory does not grow with length. Counted, so that no clock is trusted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from seeing_core.guidance.settings import AUDIO_PRESETS, JOINT_PRESETS, AlignSettings
from tests.benchmarks import sizes
from tests.benchmarks.cost import against_released, call_all, same_work
from tests.benchmarks.counting import count
from tests.benchmarks.scenes import PRESETS, TUNED, floor, scene
from tests.test_video_tasks import peak_bytes

PAPER = AlignSettings("paper")
GB = 1e9


@pytest.fixture(scope="module")
def small() -> sizes.Models:
    return sizes.stand_in()


@pytest.fixture(scope="module")
def shells(small: sizes.Models) -> sizes.Models:
    """The stand-ins without their numbers."""
    return sizes.Models(*(model.to("meta") for model in sizes.stand_in()))


@pytest.fixture(scope="module")
def real() -> sizes.Models:
    return sizes.real()


@pytest.fixture(scope="module")
def real_half() -> sizes.Models:
    return sizes.real(torch.float16)


def test_flops_are_those_of_the_formulae_and_land_in_their_part() -> None:
    """A product of (n, a) and (a, b) is 2 n a b; going back to the input costs as much again, and so does making it again."""
    first, second = nn.Linear(30, 50, device="meta"), nn.Linear(50, 20, device="meta")
    parts = {"first": [first], "second": [second]}
    for layer in (first, second):
        layer.requires_grad_(False)
    x = torch.empty(7, 30, device="meta", requires_grad=True)
    plain = count(lambda: second(first(x)).sum().backward(), parts)
    again = count(lambda: second(checkpoint(first, x, use_reentrant=False)).sum().backward(), parts)
    assert plain.flops == {"first": 2 * 2 * 7 * 30 * 50, "second": 2 * 2 * 7 * 50 * 20}
    assert again.flops["second"] == plain.flops["second"]
    assert again.flops["first"] in (plain.flops["first"], plain.flops["first"] * 3 // 2)  # a linear layer keeps nothing


def test_counted_memory_is_what_the_allocator_sees(small: sizes.Models) -> None:
    one = scene("v2a", small, PAPER, duration_s=3.0)
    assert one.cost(PAPER).peak == pytest.approx(peak_bytes(lambda: one.step(PAPER)), rel=0.1)


def test_shells_cost_what_the_models_cost(small: sizes.Models, shells: sizes.Models) -> None:
    for task, settings in (("v2a", PAPER), ("a2v", TUNED)):
        theirs, ours = (scene(task, models, settings, side=64, duration_s=3.0).cost(settings) for models in (small, shells))
        assert theirs.total == pytest.approx(ours.total, rel=0.02)
        assert theirs.peak == pytest.approx(ours.peak, rel=0.15)


@pytest.mark.parametrize(
    "settings, duration_s",
    [
        (PAPER, 3.0),
        (AlignSettings("x0", inner_steps=3), 3.0),
        (AlignSettings("unet"), 3.0),
        (AlignSettings("x0", prompt_strength=1.0, inner_steps=2), 3.0),
        (AlignSettings("unet", prompt_strength=1.0), 3.0),
        (PAPER, 13.0),
        (AlignSettings("x0", prompt_strength=1.0), 13.0),
    ],
    ids=lambda x: f"{x.mode}-{x.prompt_strength:g}-{x.inner_steps}" if isinstance(x, AlignSettings) else f"{x:g}s",
)
def test_a_guided_step_of_sound_is_its_floor(shells: sizes.Models, settings: AlignSettings, duration_s: float) -> None:
    one = scene("v2a", shells, settings, duration_s=duration_s)
    least = count(lambda: call_all(floor(one, settings)), one.parts)
    windows_again = 1.35 if duration_s > 11 and settings.through_unet else 1.05  # windows of a UNet with gradients: twice
    assert least.total <= one.cost(settings).total * 1.0001 <= windows_again * least.total


@pytest.mark.parametrize("way", ["balanced", "quality", "fast"])
def test_the_sync_term_of_audio_costs_no_more_than_its_floor(shells: sizes.Models, way: str) -> None:
    settings = AUDIO_PRESETS[way]
    one = scene("v2a", shells, settings, duration_s=3.0)
    least = count(lambda: call_all(floor(one, settings)), one.parts)
    assert least.total <= one.cost(settings).total * 1.0001 <= 1.05 * least.total
    long = scene("v2a", shells, settings, duration_s=13.0)  # two windows: forward once more
    least = count(lambda: call_all(floor(long, settings)), long.parts)
    assert long.cost(settings).flops["VAE"] <= 1.5 * least.flops["VAE"]


@pytest.mark.parametrize("side, vae", [(64, 1.0), (512, 1.5)])
@pytest.mark.parametrize("task", ["a2v", "joint"])
def test_the_sync_term_of_video_shares_what_is_decoded(shells: sizes.Models, task: str, side: int, vae: float) -> None:
    """Frames of 512 pixels are decoded in slices, each of them twice."""
    settings = JOINT_PRESETS["balanced"]  # no gradients through the UNet
    one = scene(task, shells, settings, side=side)
    ours, least = one.cost(settings), count(lambda: call_all(floor(one, settings)), one.parts)
    assert least.flops["VAE"] <= ours.flops["VAE"] * 1.0001 <= vae * 1.0002 * least.flops["VAE"]
    assert ours.total - ours.flops["VAE"] <= 1.05 * (least.total - least.flops["VAE"])


@pytest.mark.parametrize("task", ["v2a", "a2v"])  # whose drafts are guided, and are not
def test_a_run_counts_its_drafts(shells: sizes.Models, task: str) -> None:
    settings = PRESETS[task]["balanced"]
    one, several = (scene(task, shells, settings).run_flops(replace(settings, drafts=drafts), 12) for drafts in (1, 4))
    assert one < several


def test_slices_are_the_only_work_done_twice_for_video(shells: sizes.Models) -> None:
    one = scene("a2v", shells, PAPER, side=64)
    least = count(lambda: call_all(floor(one, PAPER)), one.parts)
    assert one.cost(PAPER).total <= 1.05 * least.total
    large = scene("a2v", shells, PAPER, side=512)
    sliced, least = large.cost(PAPER), count(lambda: call_all(floor(large, PAPER)), large.parts)
    # A third pass at most: the second run of a slice stops where nothing more is needed.
    assert 1.3 * least.flops["VAE"] <= sliced.flops["VAE"] <= 1.5 * least.flops["VAE"]
    assert sliced.flops["binder"] == pytest.approx(least.flops["binder"], rel=0.02)


def test_memory_is_the_same_for_a_minute_and_for_five(shells: sizes.Models) -> None:
    """10.24 s is one window. What grows is the latent alone, 13 kilobytes a second, of which a step holds nine at the most."""
    scenes = [scene("v2a", shells, PAPER, duration_s=seconds) for seconds in (10.24, 60.0)]
    short, long = (one.cost(PAPER).peak for one in scenes)
    latents = [one.generators[0].initial_noise([0]).nbytes for one in scenes]
    assert long <= short + 9 * (latents[1] - latents[0])

    def judged(seconds: float, settings: AlignSettings) -> int:
        one = scene("v2a", shells, settings, duration_s=seconds)
        z = one.generators[0].initial_noise([0])
        return count(lambda: one.loss([z]), one.parts).peak

    for settings in (PAPER, AUDIO_PRESETS["quality"]):
        assert judged(300.0, settings) <= 1.25 * judged(10.24, settings)


def test_measured_memory_of_a_long_sound(small: sizes.Models) -> None:
    short, long = (peak_bytes(lambda: scene("v2a", small, PAPER, duration_s=seconds).step(PAPER)) for seconds in (10.24, 20.0))
    assert long <= 1.1 * short


def test_losses_are_those_of_the_released_loop() -> None:
    models = sizes.Models(*(model.double() for model in sizes.stand_in()))
    ours, theirs = (torch.cat(run()) for run in same_work(models, duration_s=2.0, steps=3))
    assert len(ours) == 2
    assert (ours - theirs).abs().max() <= 1e-5


def test_real_sizes_against_the_released_loop(real: sizes.Models) -> None:
    row = against_released(real, repeats=0)
    ours, released = row["ours"]["flops"], row["released"]["flops"]
    assert row["fewer"] >= 2
    assert released["binder"] >= 4.9 * ours["binder"]
    assert released["UNet"] == ours["UNet"]


@pytest.mark.parametrize(
    "task, towers, low_memory, most",
    [
        ("v2a", ["audio"], False, 6),
        ("v2a", ["audio"], True, 4),
        ("a2v", ["vision"], False, 12.5),  # two frames of 512 x 512 at once
        ("a2v", ["vision"], True, 8),
    ],
)
def test_real_sizes_fit_small_cards(
    real_half: sizes.Models, task: str, towers: list[str], low_memory: bool, most: float
) -> None:
    """GB of all weights that are on the device during a guided step, in half precision, and of all that is alive in it."""
    model = real_half.audio if task == "v2a" else real_half.video
    settings = AlignSettings("paper", prompt_strength=float(task == "a2v"))
    alive = scene(task, real_half, settings, low_memory=low_memory).cost(settings).peak
    weights = sizes.weight_bytes(model) + sum(sizes.weight_bytes(real_half.binder.tower(tower)) for tower in towers)
    assert (alive + weights) / GB <= most
