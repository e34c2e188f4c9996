"""What all latent diffusion models share: seeded noise, a scheduler of one's own, windows, classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..precision import to_fp32
from ..guidance.settings import Solver
from .windows import Window, blend, sparing


def guided_noise(
    unet: Callable[[Tensor, Tensor], Tensor], z: Tensor, positive: Tensor, negative: Tensor, scale: float
) -> Tensor:
    """negative + scale (positive - negative) of unet(latents, prompt); z (B, ...), positive (B, ...), negative (1, ...).

    A scale of 1 runs the positive prompt alone. Both halves run as one batch, except when only the prompt is
    differentiated: then the negative half needs no graph, which halves the memory and the work of the backward pass.
    """
    if scale == 1:
        return unet(z, positive)
    negative = negative.expand_as(positive)
    if positive.requires_grad and not z.requires_grad:
        with torch.no_grad():
            without = unet(z, negative)
        return without + scale * (unet(z, positive) - without)
    without, with_ = unet(torch.cat([z, z]), torch.cat([negative, positive])).chunk(2)
    return without + scale * (with_ - without)


def seeded_noise(shape: Sequence[int], seeds: Sequence[int], like: Tensor) -> Tensor:
    """(len(seeds), *shape) normal noise; made on the CPU, so that a seed gives the same on every device.

    In single precision even for half models: steps and nudges are too small for less.
    """
    noise = [torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds]
    return to_fp32(torch.stack(noise).to(like))


def fresh_scheduler(scheduler: Any, steps: int, solver: Solver) -> Any:
    """A scheduler of the same noise schedule with its own state: the model's own kind, or DPM-Solver++.

    Its timesteps stay on the CPU, so that reading a step's noise level never waits for a GPU.
    """
    if solver == "dpm++":
        from diffusers import DPMSolverMultistepScheduler

        own = DPMSolverMultistepScheduler.from_config(scheduler.config)
        own.final_alpha_cumprod = torch.tensor(1.0)  # it ends without noise
    else:
        own = type(scheduler).from_config(scheduler.config)
    own.set_timesteps(steps)
    return own


def in_windows(
    predict: Callable[[Tensor, Tensor, Tensor], Tensor], windows: Sequence[Window], z: Tensor, t: Tensor, prompt: Tensor
) -> Tensor:
    """predict(z, t, prompt) window by window along axis 2, cross-faded (Bar-Tal et al., MultiDiffusion, ICML 2023)."""

    def piece(window: Window) -> Tensor:
        return sparing(predict, z[:, :, window.start : window.stop], t, prompt, several=len(windows) > 1)

    return blend(windows, piece, dim=2)
