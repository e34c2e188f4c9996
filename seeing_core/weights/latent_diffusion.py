"""The original single-file naming of latent diffusion models (Rombach et al., CVPR 2022), read off names and shapes.

AudioLDM and Stable Diffusion 1.5 share it: `model.diffusion_model.*`, `first_stage_model.*`, `cond_stage_model.*`.
The renaming itself is diffusers' own; sizes come from the tensors, so no configuration file is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

UNET, VAE = "model.diffusion_model.", "first_stage_model."
State = Mapping[str, Tensor]


def strip_prefix(prefix: str, state: State) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def count_indices(pattern: str, state: State) -> int:
    """How many different first groups the pattern finds at the start of the names."""
    return len({match[1] for key in state if (match := re.match(pattern, key))})


def unet_config(state: State) -> dict[str, Any]:
    """Widths, depth and attention of UNet2DConditionModel, from the names and shapes of the original UNet (no prefix).

    Head counts leave no shape: the caller adds them. Raises KeyError when this is no such UNet.
    """
    widths: list[int] = []
    attends: list[bool] = []
    blocks: list[int] = []
    fresh = True
    for number in range(1, count_indices(r"input_blocks\.(\d+)\.", state)):
        block = f"input_blocks.{number}."
        if f"{block}0.op.weight" in state:
            fresh = True
            continue
        if fresh:
            widths.append(state[f"{block}0.out_layers.3.weight"].shape[0])
            attends.append(f"{block}1.norm.weight" in state)
            blocks.append(0)
            fresh = False
        blocks[-1] += 1
    down = tuple("CrossAttnDownBlock2D" if attention else "DownBlock2D" for attention in attends)
    up = tuple("CrossAttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(attends))
    return {
        "in_channels": state["input_blocks.0.0.weight"].shape[1],
        "out_channels": state["out.2.weight"].shape[0],
        "block_out_channels": tuple(widths),
        "layers_per_block": blocks[0],
        "down_block_types": down,
        "up_block_types": up,
    }


def vae_config(state: State) -> dict[str, Any]:
    """Sizes of AutoencoderKL from the names and shapes of the original VAE (no prefix). Raises KeyError otherwise."""
    levels = count_indices(r"encoder\.down\.(\d+)\.", state)
    widths = tuple(state[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in range(levels))
    return {
        "in_channels": state["encoder.conv_in.weight"].shape[1],
        "out_channels": state["decoder.conv_out.weight"].shape[0],
        "block_out_channels": widths,
        "layers_per_block": count_indices(r"encoder\.down\.0\.block\.(\d+)\.", state),
        "latent_channels": state["post_quant_conv.weight"].shape[1],
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
    }


def unet_state(state: State, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The original UNet (no prefix) under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    return convert_ldm_unet_checkpoint(
        {UNET + key: value for key, value in state.items()}, {**config, "class_embed_type": None}
    )


def vae_state(state: State, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The original VAE (no prefix) under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    parts = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
    return convert_ldm_vae_checkpoint({VAE + key: value for key, value in state.items() if key.startswith(parts)}, config)
