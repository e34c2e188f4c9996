"""What the scripts about Align Model share: its node with its widgets, targets, sampling. For a process that has imported ComfyUI."""

from __future__ import annotations

from typing import Any

import comfy.sample
import torch
from comfy.nested_tensor import NestedTensor
from native_models import Family
from torch import Tensor

WIDGETS = {
    "strength": 1.0,
    "start_fraction": 0.0,
    "end_fraction": 1.0,
    "inner_steps": 1,
    "guide_every": 1,
    "sync_weight": 1.0,
    "clips": 0,
    "fps": 8.0,
    "frames_in_batch": False,
}
STEPS = 4


class Bench:
    """The nodes, the pocket binder and targets of each medium."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self.align = nodes["AlignModel"].PREPARE_CLASS_CLONE(None)
        self.binder = nodes["LoadImageBind"].execute("pocket (built in)").args[0]
        target, random = nodes["AlignTargetNode"], torch.Generator().manual_seed(0)
        moving = torch.zeros(8, 32, 32, 3)
        moving[:4, 4:12, 8:16] = moving[4:, 20:28, 16:24] = 1
        sound = {"waveform": torch.rand(1, 1, 16000, generator=random) - 0.5, "sample_rate": 16000}
        self.words = target.execute("a bell", 1.0).args[0]
        self.video = target.execute("", 1.0, media=moving).args[0]
        self.sound = target.execute("", 1.0, media=sound).args[0]

    def targets(self, name: str) -> tuple[Any, ...]:
        """What a model of this family is to fit: the other medium, or words."""
        return {"pictures": self.words, "wan": self.sound, "ltx_av": ()}.get(name, self.video)

    def patched(self, family: Family, targets: tuple[Any, ...], **more: Any) -> Any:
        return self.align.execute(
            model=family.model,
            vae=family.vae,
            binder=self.binder,
            targets=targets,
            audio_vae=family.audio_vae,
            **(WIDGETS | more),
        ).args


def sampled(family: Family, model: Any, seed: int = 0, sampler: str = "euler", latent: Any = None, **more: Any) -> Tensor:
    """more: what `drawn` takes."""
    latent = family.latent if latent is None else latent
    return drawn(family, model, comfy.sample.prepare_noise(latent, seed), latent, seed, sampler, **more)


def drawn(
    family: Family,
    model: Any,
    noise: Any,
    latent: Any,
    seed: int = 0,
    sampler: str = "euler",
    steps: int = STEPS,
    **more: Any,
) -> Tensor:
    scheduler = "simple" if sampler == "lcm" else "normal"
    made = comfy.sample.sample(
        model,
        noise,
        steps,
        2.0,
        sampler,
        scheduler,
        family.positive,
        family.negative,
        latent,
        seed=seed,
        disable_pbar=True,
        **more,
    )
    return torch.cat([part.flatten(1) for part in made.unbind()], 1) if made.is_nested else made


def batch(latent: Any, count: int) -> Any:
    if latent.is_nested:
        return NestedTensor([batch(part, count) for part in latent.unbind()])
    return latent.repeat(count, *[1] * (latent.ndim - 1))


def losses(alignment: Any) -> list[float]:
    return [point.loss for point in alignment.finished[-1][1].points]
