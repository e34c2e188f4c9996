"""Checkpoints under the names their authors gave, written from diffusers models by renaming each weight back.

The renaming here is our own and goes the other way than the loaders', which use diffusers'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

RESNET = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
]
UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "class_embedding": "video_emb",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE_ATTENTION = [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")]
WIDTHS = (32, 64, 96, 160)


def original_unet(unet: nn.Module) -> dict[str, Tensor]:
    """Under `model.diffusion_model.`, for two layers a block."""
    return {f"model.diffusion_model.{_unet_name(key, unet)}": value for key, value in unet.state_dict().items()}


def _unet_name(key: str, unet: nn.Module) -> str:
    for new, old in UNET.items():
        if key.startswith(new + "."):
            return old + _inner(key.removeprefix(new))
    side, level, part, number, rest = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)(\..*)", key).groups()
    level, number = int(level), int(number)
    if part == "downsamplers":
        return f"input_blocks.{3 * level + 3}.0.op{rest.removeprefix('.conv')}"
    if part == "upsamplers":
        place = 2 if "Attn" in unet.config.up_block_types[level] else 1
        return f"output_blocks.{3 * level + 2}.{place}{rest}"
    block = f"input_blocks.{1 + 3 * level + number}" if side == "down" else f"output_blocks.{3 * level + number}"
    return f"{block}.{0 if part == 'resnets' else 1}{_inner(rest)}"


def _inner(rest: str) -> str:
    for new, old in RESNET if "transformer_blocks" not in rest else []:
        rest = re.sub(rf"^\.{new}\.", f".{old}.", rest)
    return rest


def original_vae(vae: nn.Module) -> dict[str, Tensor]:
    """Under `first_stage_model.`; attention as 1 x 1 convolutions."""
    levels = len(vae.config.block_out_channels)
    named = {}
    for key, value in vae.state_dict().items():
        key = re.sub(
            r"(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.",
            lambda match: _vae_block(match[1], int(match[2]), match[3], levels),
            key,
        )
        key = key.replace("sample.0.conv", "sample.conv").replace("conv_norm_out", "norm_out")
        key = key.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
        if "mid_block.attentions.0" in key:
            key = key.replace("mid_block.attentions.0", "mid.attn_1")
            for new, old in VAE_ATTENTION:
                key = key.replace(f".{new}.", f".{old}.")
            value = value[:, :, None, None] if value.ndim == 2 else value
        named[f"first_stage_model.{key.replace('conv_shortcut', 'nin_shortcut')}"] = value
    return named


def _vae_block(side: str, level: int, part: str, levels: int) -> str:
    level = level if side == "down" else levels - 1 - level
    return f"{side}.{level}." + {"resnets": "block.", "downsamplers": "downsample.", "upsamplers": "upsample."}[part]


def original_audioldm(folder: Path) -> dict[str, Tensor]:
    """The authors' names for the AudioLDM of a diffusers folder, with what else lies in their files."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import ClapTextModelWithProjection, SpeechT5HifiGan

    unet, vae = UNet2DConditionModel.from_pretrained(folder / "unet"), AutoencoderKL.from_pretrained(folder / "vae")
    state = original_unet(unet) | original_vae(vae)
    for key, value in SpeechT5HifiGan.from_pretrained(folder / "vocoder").state_dict().items():
        if key not in ("mean", "scale"):
            state[f"first_stage_model.vocoder.{key.replace('upsampler.', 'ups.')}"] = value
    for key, value in ClapTextModelWithProjection.from_pretrained(folder / "text_encoder").state_dict().items():
        key = key.replace("text_model.", "text_branch.").replace("linear1", "0").replace("linear2", "2")
        state[f"cond_stage_model.model.{key}"] = value
    state["cond_stage_model.model.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    state["cond_stage_model.model.audio_branch.bn0.weight"] = torch.ones(64)  # CLAP's ears, which are not used
    state["cond_stage_model.model.text_transform.sequential.0.weight"] = torch.ones(4, 4)
    state |= {"betas": torch.zeros(1000), "logvar": torch.zeros(1000)}
    return state | {"scale_factor": torch.tensor(vae.config.scaling_factor)}


def write_wide_audioldm(folder: Path) -> Path:
    """A diffusers folder as in tests/stand_ins.py, but wide enough for the head and group counts that the originals fix."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    from tests.stand_ins import write_audioldm

    write_audioldm(folder)
    torch.manual_seed(5)
    UNet2DConditionModel(
        sample_size=128,
        in_channels=8,
        out_channels=8,
        block_out_channels=WIDTHS,
        layers_per_block=2,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
        cross_attention_dim=WIDTHS,
        attention_head_dim=tuple(width // 32 for width in WIDTHS),
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=32,
        class_embeddings_concat=True,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 32, 64),
        layers_per_block=2,
        latent_channels=8,
        scaling_factor=0.9,
        sample_size=512,
    ).save_pretrained(folder / "vae")
    ClapTextModelWithProjection(
        ClapTextConfig(
            vocab_size=300,
            hidden_size=64,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=32,
            projection_dim=32,
            max_position_embeddings=514,
            layer_norm_eps=1e-5,
        )
    ).save_pretrained(folder / "text_encoder")
    return folder


def write_wide_sd(folder: Path) -> Path:
    """A Stable Diffusion 1.5 diffusers folder with CLIP's real vocabulary, the originals' heads and groups, few channels."""
    import json

    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from seeing_core.weights.animatediff import clip_tokenizer

    torch.manual_seed(6)
    UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(32, 64, 64, 64),
        cross_attention_dim=64,
        attention_head_dim=8,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    ).save_pretrained(folder / "vae")
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=1,
            bos_token_id=49406,
            eos_token_id=49407,
        )
    ).save_pretrained(folder / "text_encoder")
    clip_tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def write_detectable_sd(folder: Path) -> Path:
    """Like `write_wide_sd`, in half precision, with the sizes by which ComfyUI knows a Stable Diffusion 1.5 or which it fixes.

    Those are the UNet's first width and text width, the whole VAE and the whole text encoder; about 0.6 GB.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(8)
    parts = {
        "unet": UNet2DConditionModel(
            sample_size=64, block_out_channels=(320, 320, 320, 320), cross_attention_dim=768, attention_head_dim=8
        ),
        "vae": AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        ),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                bos_token_id=49406,
                eos_token_id=49407,
            )
        ),
    }
    for name, part in parts.items():
        part.half().save_pretrained(folder / name)
    return folder


def original_sd(folder: Path) -> dict[str, Tensor]:
    """The original names for the Stable Diffusion of a diffusers folder."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import load_file

    state = original_unet(UNet2DConditionModel.from_pretrained(folder / "unet"))
    state |= original_vae(AutoencoderKL.from_pretrained(folder / "vae"))
    for key, value in load_file(folder / "text_encoder" / "model.safetensors").items():
        state[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return state | {"model_ema.decay": torch.tensor(0.9), "alphas_cumprod": torch.ones(1000)}


def write_wide_motion(folder: Path, *, frames: int = 32, widths: Sequence[int] = (32, 64, 64, 64)) -> Path:
    """A MotionAdapter folder that fits `write_wide_sd`, its outputs not zero as they are before training.

    frames: the most that it has positions for.  widths: of the UNet's levels.
    """
    from diffusers import MotionAdapter

    torch.manual_seed(7)
    adapter = MotionAdapter(block_out_channels=tuple(widths), motion_num_attention_heads=8, motion_max_seq_length=frames)
    for key, parameter in adapter.named_parameters():
        if "proj_out" in key:
            nn.init.normal_(parameter, std=0.1)
    adapter.save_pretrained(folder)
    return folder


def original_motion(folder: Path) -> dict[str, Tensor]:
    """The original names for the motion module of a MotionAdapter folder."""
    from safetensors.torch import load_file

    return original_motion_names(load_file(folder / "diffusion_pytorch_model.safetensors"))


def original_motion_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`down_blocks.N.motion_modules.M.temporal_transformer.*`, as in mm_sd_v15_v2.ckpt."""
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        key = re.sub(r"(motion_modules\.\d+)\.", r"\1.temporal_transformer.", key)
        for new, old in (
            (".attn1.", ".attention_blocks.0."),
            (".attn2.", ".attention_blocks.1."),
            (".norm1.", ".norms.0."),
            (".norm2.", ".norms.1."),
            (".norm3.", ".ff_norm."),
        ):
            key = key.replace(new, old)
        if key.endswith("pos_embed.pe"):
            block = key.removesuffix("pos_embed.pe")
            named |= {f"{block}attention_blocks.{number}.pos_encoder.pe": value.clone() for number in (0, 1)}
        else:
            named[key] = value
    return named


def write(state: Mapping[str, Tensor], path: Path) -> Path:
    """As the suffix says; `.ckpt` with a training state around the weights, as Lightning leaves it."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path, metadata={"format": "pt"})
    else:
        torch.save({"epoch": 3, "global_step": 12, "state_dict": dict(state)}, path)
    return path
