"""The texture of a sound: it knows what, and not when."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seeing_core.binders.imagebind import ImageBind
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.guidance.clips import AudioView
from seeing_core.guidance.losses import KEEP, EventTimesTerm, TextureTerm, WeightedLoss, texture_distance
from seeing_core.guidance.texture import DEPTH, silence, texture

STEP_S = 0.01
LOW, HIGH = [0.0, 0.0, -6.0, -6.0], [-6.0, -6.0, 0.0, 0.0]  # log energies of four bands


def sound(places: list[int], peaks: list[float], decay: float, count: int = 200) -> Tensor:
    """(1, count, 4) log energies: events that fall by `decay` a step, over a background of -12."""
    after = torch.arange(count)[:, None] - torch.tensor(places)[None]
    fade = torch.where(after >= 0, -decay * after, -100.0).amax(1)
    return (torch.tensor(peaks) + fade[:, None]).clamp_min(-12.0)[None]


def distance(a: Tensor, b: Tensor) -> float:
    silent = silence(a)
    return float(texture_distance(texture(a, silent, STEP_S), texture(b, silent, STEP_S)))


def test_it_knows_what_and_not_when() -> None:
    knocks = sound([20, 90, 150], LOW, 0.7)
    assert distance(knocks, knocks) == pytest.approx(0.0, abs=1e-6)
    assert distance(knocks, sound([40, 70, 130], LOW, 0.7)) < 1e-3  # elsewhere
    assert distance(knocks, sound([40, 130], LOW, 0.7)) < 0.02  # and fewer
    assert distance(knocks, sound([20, 90, 150], HIGH, 0.7)) > 0.5  # other bands
    assert distance(knocks, sound([20, 90, 150], LOW, 0.1)) > 0.02  # a ring instead of a knock


def test_what_is_silent_says_nothing() -> None:
    knocks = sound([20, 90, 150], LOW, 0.7)
    hiss = knocks.clamp_min(-DEPTH)
    assert distance(knocks, hiss) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("count", [1, 200])
def test_a_silent_sound_has_a_gradient_too(count: int) -> None:
    silent = silence(sound([0], LOW, 0.7))
    made = torch.full((1, count, 4), -11.0).requires_grad_()
    away = texture_distance(texture(made, silent, STEP_S), texture(sound([0], LOW, 0.7, count), silent, STEP_S))
    [gradient] = torch.autograd.grad(away.sum(), made)
    assert torch.isfinite(away).all() and torch.isfinite(gradient).all()


def test_gradients_agree_with_finite_differences() -> None:
    made = torch.randn(2, 30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    kept = torch.randn(2, 30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    silent = silence(kept)
    wanted = texture(kept, silent, STEP_S)
    assert torch.autograd.gradcheck(lambda x: texture_distance(texture(x, silent, STEP_S), wanted), made)


def test_a_loss_keeps_what_it_was_given(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    generator = exact_audioldm.conditioned(["noise"], duration_s=0.5)

    def in_time() -> WeightedLoss:
        return WeightedLoss({"audio": AudioView(generator, exact_binder)}, [[]], [EventTimesTerm(1.0, "audio", [[0.2]])])

    x0, other = generator.initial_noise([4, 5]), generator.initial_noise([6, 7])
    keeping = in_time().keeping([x0])
    [term] = [term for term in keeping.whole_terms if isinstance(term, TextureTerm)]
    assert term.weight == KEEP
    same, moved = keeping([x0]), keeping([other])
    assert (same.terms["texture"] <= 1e-9).all() and (moved.terms["texture"] > 1e-3).all()
    assert torch.allclose(moved.loss, moved.terms["sync"] + KEEP * moved.terms["texture"])
    assert torch.allclose(moved.terms["texture"][1], in_time().keeping([x0[1:]])([other[1:]]).terms["texture"][0])
