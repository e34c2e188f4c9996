"""Stable Diffusion 1.5 as ComfyUI has loaded it: the weights of its MODEL, CLIP and VAE, LoRAs included."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE
from torch import Tensor

from ...seeing_core.errors import InputError
from ..comfy.memory import enable_autograd


def base_from_checkpoint(model: ModelPatcher | None, clip: CLIP | None, vae: VAE | None) -> dict[str, Tensor] | None:
    """Copies, under the names of the original single file, of what ComfyUI would save as a checkpoint; None without the three.

    What is no weight stays behind: samplers, CLIP skip, embeddings, hooks.
    Raises InputError when only some of the three are given, and when they are no Stable Diffusion 1.5.
    """
    from ...seeing_core.weights.animatediff import check_base

    given: dict[str, Any] = {"model": model, "clip": clip, "vae": vae}
    absent = [name for name, value in given.items() if value is None]
    if len(absent) == len(given):
        return None
    if absent:
        raise InputError(
            "model, clip and vae",
            f"no {' and no '.join(absent)}",
            "all three or none of them",
            "Connect all three outputs of Load Checkpoint; without them the base is taken.",
        )
    state = model.state_dict_for_saving(clip.state_dict_for_saving(), vae.get_sd())
    check_base("model, clip and vae", state)  # before anything is copied
    here = {name: value.to("cpu") for name, value in state.items()}  # this applies the patches
    with enable_autograd():
        return {name: value.detach().clone() for name, value in here.items()}
