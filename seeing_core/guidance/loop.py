"""The sampling loop: denoise, predict x0, align, step. Everything else in this package serves `sample` and `align`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .settings import AlignSettings
from .state import Denoiser, SamplerState


@dataclass(frozen=True)
class Evaluation:
    """How well the predicted x0s fit.

    loss: (B,).  gradients: d loss / d x0 of each track, like its x0.  terms: the parts of the loss, (B,) each.
    previews: what each track decodes to now (of a long one the first group of clips), detached: (B, n) samples or
    (B, frames, 3, H, W) pictures.
    prompt_gradients: what the prompts are tuned by, where that is not all of it: a prompt says what, not when.
    """

    loss: Tensor
    gradients: tuple[Tensor, ...]
    terms: dict[str, Tensor]
    previews: tuple[Tensor, ...]
    prompt_gradients: tuple[Tensor, ...] | None = None


Objective = Callable[[Sequence[Tensor]], Evaluation]


@dataclass(frozen=True)
class Progress:
    """Told after every inner step and every denoise step; an exception raised by the listener ends the run.

    step counts from 0; inner is the inner step, or None after the denoise step itself.
    """

    step: int
    steps: int
    inner: int | None = None
    evaluation: Evaluation | None = None


Report = Callable[[Progress], None]


@torch.no_grad()
def sample(
    models: Sequence[Denoiser], objective: Objective, settings: AlignSettings, *, seeds: Sequence[int], steps: int,
    report: Report,
) -> list[Tensor]:
    """Denoises one latent per seed with each model, in lock-step; guided steps are followed by the aligner (§3.2).

    One model: V2A, I2A, A2V. Two: Joint-VA (Algorithm 1). Returns each model's clean latents, (B, ...).
    """
    tracks = [SamplerState(model, seeds, steps, settings) for model in models]
    for step in range(steps):
        guided = settings.guides(step, steps)
        for again in range(1 + settings.recurrence * guided):
            for track in tracks:
                if again:
                    track.renoise()
                track.denoise(step, gradients=guided and settings.through_unet)
            if guided:
                first = again * settings.inner_steps
                align(tracks, objective, settings, lambda i, seen: report(Progress(step, steps, first + i, seen)))
        report(Progress(step, steps))
    return [track.z for track in tracks]


def align(
    tracks: Sequence[SamplerState], objective: Objective, settings: AlignSettings, callback: Callable[[int, Evaluation], None]
) -> None:
    """Nudges the tracks' latents, and their prompts where that is asked for, so that what they decode to fits better."""
    for inner in range(settings.inner_steps):
        if inner and settings.through_unet:  # the prompt or the latent that eps came from has changed
            for track in tracks:
                track.denoise_again()
        x0s = [track.predict_x0() for track in tracks]
        evaluation = objective([x0.detach() for x0 in x0s])
        callback(inner, evaluation)
        of_prompts = evaluation.prompt_gradients or evaluation.gradients
        for track, x0, gradient, of_prompt in zip(tracks, x0s, evaluation.gradients, of_prompts, strict=True):
            track.nudge(x0, gradient, of_prompt)
