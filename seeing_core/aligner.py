"""The sampling loop: denoise, predict x0, align, step. Everything else in this package serves these two functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .settings import AlignSettings


class Denoiser(Protocol):
    """A latent diffusion model with its prompt already set: what the loop asks of a model family."""

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        """(len(seeds), ...) noise; each seed's sample does not depend on the others."""

    def new_scheduler(self, steps: int) -> Any:
        """A diffusers scheduler of this model, its timesteps set."""

    def predict_noise(self, z: Tensor, t: Tensor) -> Tensor:
        """eps like z, with classifier-free guidance."""


@dataclass(frozen=True)
class Evaluation:
    """The loss of a predicted x0.  loss: (B,).  gradient: like x0.  terms: (B,) each.  preview: decoded, detached."""

    loss: Tensor
    gradient: Tensor
    terms: dict[str, Tensor]
    preview: Tensor


Objective = Callable[[Tensor], Evaluation]


@dataclass(frozen=True)
class Progress:
    """Told after every denoise step and every inner step; an exception raised by the listener ends the run.

    step counts from 0; inner is the inner step, or None after the denoise step itself.
    """

    step: int
    steps: int
    inner: int | None = None
    evaluation: Evaluation | None = None


Report = Callable[[Progress], None]


@torch.no_grad()
def sample(
    model: Denoiser, objective: Objective, settings: AlignSettings, *, seeds: Sequence[int], steps: int, report: Report
) -> Tensor:
    """Denoises one latent per seed, each guided step followed by the aligner (§3.2 of the paper). Returns (B, ...)."""
    scheduler = model.new_scheduler(steps)
    z = model.initial_noise(seeds) * scheduler.init_noise_sigma
    for step, t in enumerate(scheduler.timesteps):
        eps = model.predict_noise(scheduler.scale_model_input(z, t), t)
        noisier, z = z, scheduler.step(eps, t, z).prev_sample
        if settings.guides(step, len(scheduler.timesteps)):

            def told(inner: int, evaluation: Evaluation, step: int = step) -> None:
                report(Progress(step, steps, inner, evaluation))

            z = align(z, noisier, eps, *signal_levels(scheduler, step), objective, settings, told)
        report(Progress(step, steps))
    return z


def align(
    z: Tensor, noisier: Tensor, eps: Tensor, level: float, next_level: float, objective: Objective,
    settings: AlignSettings, told: Callable[[int, Evaluation], None],
) -> Tensor:
    """Nudges the latent so that what it decodes to fits the targets better; returns the new z.

    z: the latent after the denoise step; noisier: before it; eps: the step's noise estimate; level: ā_t of the step,
    next_level: that of the next one. "paper" and "gradient" predict x0 from z with the step's own eps and ā_t, as the
    released code does; d x0 / d z is then 1/√ā_t. "x0" predicts it from the latent that eps belongs to.
    """
    in_x0 = settings.mode == "x0"
    leaf = predict_x0(noisier, eps, level) if in_x0 else z.clone()
    start = leaf.clone()
    optimizer = torch.optim.Adam([leaf], lr=settings.rate) if settings.mode == "paper" else None
    for inner in range(settings.inner_steps):
        evaluation = objective(leaf if in_x0 else predict_x0(leaf, eps, level))
        gradient = evaluation.gradient if in_x0 else evaluation.gradient / level**0.5
        told(inner, evaluation)
        if optimizer:
            leaf.grad = gradient
            optimizer.step()
        else:
            leaf -= settings.rate * (unit_rms(gradient) if in_x0 else gradient)
    return z + next_level**0.5 * (leaf - start) if in_x0 else leaf


def predict_x0(z: Tensor, eps: Tensor, level: float) -> Tensor:
    """Eq. 11: x0 = (z - √(1-ā)·eps) / √ā."""
    return (z - (1 - level) ** 0.5 * eps) / level**0.5


def unit_rms(gradient: Tensor) -> Tensor:
    """(B, ...) scaled so that each sample's root mean square is 1; a zero gradient stays zero."""
    rms = gradient.flatten(1).square().mean(1).sqrt().clamp_min(1e-12)
    return gradient / rms.view(-1, *[1] * (gradient.ndim - 1))


def signal_levels(scheduler: Any, step: int) -> tuple[float, float]:
    """ā of this step and of the next (after the last: the scheduler's final one)."""
    levels = [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps[step : step + 2]]
    return levels[0], levels[1] if len(levels) == 2 else float(scheduler.final_alpha_cumprod)
