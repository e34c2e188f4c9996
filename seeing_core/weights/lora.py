"""LoRA (Hu et al., ICLR 2022) for Stable Diffusion 1.5 and for motion modules, added to the weights once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ..errors import InputError
from .checking import check_finite, looks_like
from .files import UNREADABLE, first_line, read_tensors


@dataclass(frozen=True)
class Lora:
    """A LoRA file, `.safetensors` or `.ckpt`, in kohya's, diffusers' or AnimateDiff's naming.  strength: 1 is as trained."""

    path: Path
    strength: float = 1.0


def add_loras(unet: nn.Module, text_encoder: nn.Module, loras: Sequence[Lora]) -> None:
    """Adds them to UNetMotionModel's and CLIP's weights.

    Raises InputError when a file is no LoRA, was made for another model, or the package peft is missing.
    """
    for lora in loras:
        if lora.strength:
            _add(unet, text_encoder, lora)


def _add(unet: nn.Module, text_encoder: nn.Module, lora: Lora) -> None:
    from diffusers.loaders import StableDiffusionLoraLoaderMixin
    from diffusers.utils import is_peft_available

    where = f"LoRA '{lora.path}'"
    state = read_tensors(lora.path).tensors
    if "LoRA" not in looks_like(state):
        raise InputError(where, looks_like(state) or "other weights", "a LoRA for Stable Diffusion 1.5 or for motion")
    if not is_peft_available():
        raise InputError(
            where, "no package 'peft'", "the package that this node pack's requirements.txt names", "Run: pip install peft"
        )
    check_finite(where, state)
    try:
        state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(_motion_names(state), unet_config=unet.config)
        parts = {part: any(key.startswith(part + ".") for key in state) for part in ("unet", "text_encoder")}
        StableDiffusionLoraLoaderMixin.load_lora_into_unet(state, alphas, unet, adapter_name="added")
        if parts["text_encoder"]:
            StableDiffusionLoraLoaderMixin.load_lora_into_text_encoder(state, alphas, text_encoder, adapter_name="added")
    except UNREADABLE as error:
        raise InputError(
            where, f"weights that do not fit ({first_line(error)})", "a LoRA for Stable Diffusion 1.5 or for its motion modules"
        ) from error
    _merge(where, unet, lora.strength)
    if parts["text_encoder"]:
        _merge(where, text_encoder, lora.strength)


def _merge(where: str, model: nn.Module, strength: float) -> None:
    """The LoRA layers added to the weights they adapt, and removed."""
    from diffusers.utils.peft_utils import recurse_remove_peft_layers
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [part for part in model.modules() if isinstance(part, BaseTunerLayer)]
    if not layers:
        raise InputError(where, "no weights for any layer of this model", "a LoRA for Stable Diffusion 1.5 or for motion")
    for layer in layers:
        layer.scale_layer(strength)
        layer.merge()
    recurse_remove_peft_layers(model)
    if hasattr(model, "peft_config"):
        del model.peft_config
    model._hf_peft_config_loaded = False


def _motion_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AnimateDiff's names of a motion LoRA as diffusers knows them; other names are left as they are."""
    if not any(".temporal_transformer." in key for key in state):
        return dict(state)
    words = {
        ".temporal_transformer": "",
        ".attention_blocks.0": ".attn1",
        ".attention_blocks.1": ".attn2",
        ".processor": "",
        "_lora.down.": ".lora_A.",
        "_lora.up.": ".lora_B.",
        "to_out.lora": "to_out.0.lora",
    }
    renamed = {}
    for key, value in state.items():
        for old, new in words.items():
            key = key.replace(old, new)
        renamed[key if key.startswith("unet.") else f"unet.{key}"] = value
    return renamed
