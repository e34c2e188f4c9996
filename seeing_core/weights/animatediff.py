"""AnimateDiff: a Stable Diffusion 1.5 and a motion module, each as a diffusers folder or as the single file users keep."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..binders.imagebind_package import tokenizer as clip_tokens
from ..errors import InputError
from ..generators.animatediff import AnimateDiff
from .checking import load_strict, looks_like
from .files import read_tensors
from .latent_diffusion import (
    UNET,
    VAE,
    count_indices,
    strip_prefix,
    unet_config,
    unet_state,
    vae_config,
    vae_state,
)
from .libraries import (
    check_folder,
    converted_diffusers,
    converted_transformers,
    load_part,
    read_part,
)
from .lora import Lora, add_loras

PARTS = ("unet", "vae", "text_encoder", "tokenizer")
CLIP = "cond_stage_model.transformer."
HEADS = 8  # of Stable Diffusion 1.5's UNet and of all motion modules
CLIP_HEAD_CHANNELS = 64
SAMPLE_SIZE = 64  # latent side of the pictures that Stable Diffusion 1.5 was trained on
POSITIONS = "pos_encoder.pe"


def load_animatediff(
    base: Path | str | Mapping[str, Tensor],
    motion: Path | str,
    *,
    loras: Sequence[Lora] = (),
    dtype: torch.dtype = torch.float32,
) -> AnimateDiff:
    """AnimateDiff, frozen.

    base: a Stable Diffusion 1.5, as a diffusers folder, as one `.safetensors` or `.ckpt`, or as what such a file holds: the
    tensors under their original names, which the model then keeps.
    motion: a MotionAdapter folder, or the authors' motion module as one `.ckpt` or `.safetensors`.
    loras: for the base or the motion module, added to the weights.
    Raises InputError naming the part that is missing, unreadable or does not fit.
    """
    from diffusers import DDIMScheduler, UNetMotionModel

    motion = Path(motion)
    unet, vae, text_encoder, tokenizer = _base(base, dtype)
    adapter = _motion(motion, dtype)
    widths = tuple(unet.config.block_out_channels), tuple(adapter.config.block_out_channels)
    if widths[0] != widths[1] or unet.config.layers_per_block != adapter.config.motion_layers_per_block:
        raise InputError(
            "motion adapter",
            f"'{motion}', made for a UNet of widths {widths[1]}",
            f"one for this base model's widths {widths[0]}",
        )
    for part, fits in (
        ("text encoder", unet.config.cross_attention_dim == text_encoder.config.hidden_size),
        ("VAE", unet.config.in_channels == vae.config.latent_channels),
    ):
        if not fits:
            what = "weights" if isinstance(base, Mapping) else f"'{base}'"
            raise InputError("Stable Diffusion", f"{what}, whose {part} does not fit its UNet", "parts of one checkpoint")
    # AnimateDiff's own noise schedule: the base model's is another one.
    scheduler = DDIMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, steps_offset=1, clip_sample=False)
    with torch.device("meta"):  # its own way copies every weight
        moving = UNetMotionModel.from_unet2d(unet, adapter, load_weights=False)
    moving = load_strict("AnimateDiff", moving, unet.state_dict() | adapter.state_dict(), dtype)
    add_loras(moving, text_encoder, loras)
    return AnimateDiff(moving, vae, text_encoder, tokenizer, scheduler)


def _base(base: Path | str | Mapping[str, Tensor], dtype: torch.dtype) -> tuple[nn.Module, nn.Module, nn.Module, Any]:
    if isinstance(base, Mapping):
        return _base_from_tensors("Stable Diffusion", base, dtype)
    path = Path(base)
    if path.is_file():
        return _base_from_tensors(f"Stable Diffusion file '{path}'", read_tensors(path).tensors, dtype)
    return _base_from_folder(path, dtype)


def _base_from_folder(folder: Path, dtype: torch.dtype) -> tuple[nn.Module, nn.Module, nn.Module, Any]:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import AutoTokenizer, CLIPTextModel

    check_folder("Stable Diffusion", folder, PARTS)
    if (folder / "text_encoder_2").exists():
        raise InputError("Stable Diffusion", f"'{folder}', which is SDXL", "a Stable Diffusion 1.5 folder")
    unet, vae, text_encoder = (
        load_part(cls, folder / part, "Stable Diffusion", precision)
        for part, cls, precision in (
            ("unet", UNet2DConditionModel, dtype),
            ("vae", AutoencoderKL, _vae_dtype(dtype)),
            ("text_encoder", CLIPTextModel, dtype),
        )
    )
    return unet, vae, text_encoder, read_part("Stable Diffusion tokenizer", folder / "tokenizer", AutoTokenizer.from_pretrained)


def _base_from_tensors(
    where: str, state: Mapping[str, Tensor], dtype: torch.dtype
) -> tuple[nn.Module, nn.Module, nn.Module, Any]:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    check_base(where, state)
    try:
        own = strip_prefix(UNET, state)
        config = unet_config(own) | {
            "cross_attention_dim": own["input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"].shape[1],
            "attention_head_dim": HEADS,
            "sample_size": SAMPLE_SIZE,
        }
        unet = converted_diffusers(f"{where}, UNet", UNet2DConditionModel, config, unet_state(own, config), dtype)
        picture = strip_prefix(VAE, state)
        config = vae_config(picture) | {"scaling_factor": 0.18215, "sample_size": 8 * SAMPLE_SIZE}
        vae = converted_diffusers(f"{where}, VAE", AutoencoderKL, config, vae_state(picture, config), _vae_dtype(dtype))
        words = strip_prefix(CLIP, state)
        text_encoder = converted_transformers(
            f"{where}, text encoder", CLIPTextModel, CLIPTextConfig(**_clip_sizes(words)), words, dtype
        )
    except (KeyError, IndexError) as error:
        raise InputError(
            where, f"a Stable Diffusion file without {error}", "a whole checkpoint", "Download it again."
        ) from error
    return unet, vae, text_encoder, clip_tokenizer()


def check_base(where: str, state: Mapping[str, Tensor]) -> None:
    """Raises InputError unless names and shapes are those of a whole Stable Diffusion 1.5."""
    seems = looks_like(state)
    if seems != "Stable Diffusion 1.5":
        raise InputError(
            where,
            f"what looks like {seems}" if seems else "other weights",
            "a Stable Diffusion 1.5 checkpoint with UNet, VAE and text encoder",
            "Motion modules need Stable Diffusion 1.5.",
        )


def _vae_dtype(dtype: torch.dtype) -> torch.dtype:
    """fp16 overflows in Stable Diffusion 1.5's VAE, which gives black pictures."""
    return torch.float32 if dtype == torch.float16 else dtype


def _clip_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    own = strip_prefix("text_model.", state)
    vocabulary, width = own["embeddings.token_embedding.weight"].shape
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_attention_heads": max(1, width // CLIP_HEAD_CHANNELS),
        "num_hidden_layers": count_indices(r"encoder\.layers\.(\d+)\.", own),
        "intermediate_size": own["encoder.layers.0.mlp.fc1.weight"].shape[0],
        "max_position_embeddings": own["embeddings.position_embedding.weight"].shape[0],
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
    }


def clip_tokenizer() -> Any:
    """CLIP's tokenizer, which Stable Diffusion 1.5 uses and ImageBind's package brings: the same word pieces, same numbers."""
    from transformers import CLIPTokenizer

    own = clip_tokens()
    with tempfile.TemporaryDirectory() as folder:  # files are the one way in that all transformers releases share
        Path(folder, "vocab.json").write_text(json.dumps(own.encoder), encoding="utf-8")
        pairs = "\n".join(" ".join(pair) for pair in own.bpe_ranks)
        Path(folder, "merges.txt").write_text("#version: 0.2\n" + pairs + "\n", encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=own.context_length, local_files_only=True)


def _motion(path: Path, dtype: torch.dtype) -> nn.Module:
    from diffusers import MotionAdapter

    if path.is_dir():
        return load_part(MotionAdapter, path, "motion adapter", dtype)
    state = read_tensors(path).tensors
    where = f"motion module '{path}'"
    motion = {key: value for key, value in state.items() if "motion_modules." in key}
    if not motion:
        seems = looks_like(state)
        raise InputError(where, f"what looks like {seems}" if seems else "other weights", "an AnimateDiff motion module")
    if len(motion) < len(state):
        raise InputError(
            where,
            "motion weights among others",
            "an AnimateDiff motion module and nothing else",
            "AnimateLCM and other modules with more than motion weights are not supported.",
        )
    if any("_lora." in key for key in motion):
        raise InputError(where, "a motion LoRA", "a whole motion module", "Choose it under motion_lora.")
    try:
        return converted_diffusers(where, MotionAdapter, *_converted_motion(where, motion), dtype)
    except (KeyError, IndexError) as error:
        raise InputError(where, f"a motion module without {error}", "a whole motion module", "Download it again.") from error


def _converted_motion(where: str, state: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """MotionAdapter's configuration, and the original names and positions under its names."""
    from diffusers.loaders.single_file_utils import (
        convert_animatediff_checkpoint_to_diffusers,
    )

    levels = count_indices(r"down_blocks\.(\d+)\.", state)
    widths = tuple(
        state[f"down_blocks.{level}.motion_modules.0.temporal_transformer.norm.weight"].shape[0] for level in range(levels)
    )
    if levels < 4:
        raise InputError(where, f"a motion module with {levels} levels, as for SDXL", "one for Stable Diffusion 1.5")
    renamed = convert_animatediff_checkpoint_to_diffusers(state)
    # The library leaves the positions to the class, which has no name for them in its own releases' files.
    places = {key: value for key, value in state.items() if key.endswith(POSITIONS)}
    for key, value in places.items():
        block, number = key.split(".attention_blocks.")
        renamed[f"{block.replace('.temporal_transformer', '')}.pos_embed.pe"] = value
    longest = next(iter(places.values())).shape[1] if places else 32
    middle = any(key.startswith("mid_block.") for key in state)
    config = {
        "block_out_channels": widths,
        "motion_layers_per_block": count_indices(r"down_blocks\.0\.motion_modules\.(\d+)\.", state),
        "motion_mid_block_layers_per_block": 1,
        "motion_num_attention_heads": HEADS,
        "motion_norm_num_groups": 32,
        "motion_max_seq_length": longest,
        "use_motion_mid_block": middle,
    }
    return config, renamed
