"""Classifier-free guidance (Ho & Salimans, 2022)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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
