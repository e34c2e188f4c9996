"""The sampling loop: denoise, predict x0, align, step. Everything else in this package serves `sample` and `align`."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ..generators.base import Generator
from .settings import AlignSettings
from .state import SamplerState


@dataclass(frozen=True)
class Preview:
    """What a predicted x0 decodes to, detached.

    medium: "audio": data (B, n) at `rate` samples a second. "vision": data (B, frames, 3, H, W), about 0..1.
    """

    medium: str
    data: Tensor
    rate: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """How well the predicted x0s fit.

    loss: (B,).  gradients: d loss / d x0 of each generator, like its x0.  terms: the parts of the loss, (B,) each.
    previews: of what was decoded for it (of something long the first window).
    """

    loss: Tensor
    gradients: tuple[Tensor, ...]
    terms: dict[str, Tensor]
    previews: tuple[Preview, ...]

    def on_device(self) -> dict[str, Tensor]:
        """The loss, as "loss", and its terms, averaged over the batch."""
        return {name: value.mean() for name, value in {"loss": self.loss, **self.terms}.items()}

    @cached_property
    def mean_loss(self) -> float:
        """Read from the device, which has to be waited for, once."""
        return float(self.loss.mean())


Loss = Callable[[Sequence[Tensor]], Evaluation]


class Guided(Protocol):
    """What the aligner moves: the state of a generator, or an x0 from elsewhere."""

    def predict_x0(self) -> Tensor: ...

    def redo_step(self) -> None: ...

    def guide(self, x0: Tensor, gradient: Tensor) -> None: ...


@dataclass(frozen=True)
class Progress:
    """Given to the callback after every inner step and every denoise step; an exception it raises ends the run.

    step counts from 0; inner is the inner step, or None after the denoise step itself.
    """

    step: int
    steps: int
    inner: int | None = None
    evaluation: Evaluation | None = None


@torch.no_grad()
def sample(
    generators: Sequence[Generator],
    loss: Loss,
    settings: AlignSettings,
    *,
    seeds: Sequence[int],
    steps: int,
    first_step: int = 0,
    latents: Sequence[Tensor] | None = None,
    callback: Callable[[Progress], None] = lambda progress: None,
) -> list[Tensor]:
    """Denoises one latent per seed with each generator, in lock-step; guided steps are followed by the aligner (§3.2).

    One generator: V2A, I2A, A2V. Two: Joint-VA (Algorithm 1). Settings of strength 0 guide nothing.
    first_step, latents: where to begin and what each generator has come to there, (B, ...); by default at the noise of the seeds.
    Returns the clean latents, (B, ...) each.
    """
    latents = latents or [generator.initial_noise(seeds) for generator in generators]
    states = [
        SamplerState(generator, own, generator.noise_levels(steps), settings)
        for generator, own in zip(generators, latents, strict=True)
    ]
    guided = [step for step in range(steps) if settings.is_guided(step, steps)]
    denoise(states, loss, settings, range(first_step, steps), guided, callback)
    return [state.z_next for state in states]


def denoise(
    states: Sequence[SamplerState],
    loss: Loss,
    settings: AlignSettings,
    steps: range,
    guided: Container[int],
    callback: Callable[[Progress], None],
) -> None:
    """Through these steps, the guided ones followed by the aligner."""
    for step in steps:
        for state in states:
            state.denoise(step, gradients=step in guided and settings.through_unet)
        if step in guided:
            align(states, loss, settings, lambda inner, seen: callback(Progress(step, steps.stop, inner, seen)))
        callback(Progress(step, steps.stop))


def align(states: Sequence[Guided], loss: Loss, settings: AlignSettings, callback: Callable[[int, Evaluation], None]) -> None:
    """Moves the latents, and the prompts where they are tuned, so that what they decode to fits better."""
    for inner in range(settings.inner_steps):
        if inner and settings.through_unet:  # the prompt or the latent that eps came from has changed
            for state in states:
                state.redo_step()
        x0s = [state.predict_x0() for state in states]
        evaluation = loss([x0.detach() for x0 in x0s])
        callback(inner, evaluation)
        for state, x0, gradient in zip(states, x0s, evaluation.gradients, strict=True):
            state.guide(x0, gradient)
