"""The models that the cost model looks at: the real sizes as empty shells on the meta device, and the small ones for real.

Real sizes: AudioLDM-m (cvssp/audioldm-m-full), Stable Diffusion 1.5 with the AnimateDiff v1.5-2 motion adapter,
imagebind_huge, from their published configurations. A shell has every weight's shape and no memory.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import nn

from seeing_core.binders.base import Binder
from seeing_core.binders.imagebind import ImageBind, blank_towers, build
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.pocket import MODELS_DIR
from seeing_core.weights import load_animatediff, load_audioldm, load_binder, load_imagebind
from tests.stand_ins import write_animatediff, write_audioldm, write_imagebind

IMAGEBIND_HUGE = {
    "vision_embed_dim": 1280,
    "vision_num_blocks": 32,
    "vision_num_heads": 16,
    "text_embed_dim": 1024,
    "text_num_blocks": 24,
    "text_num_heads": 16,
    "out_embed_dim": 1024,
}


class Models(NamedTuple):
    audio: AudioLDM
    video: AnimateDiff
    binder: Binder


def stand_in() -> Models:
    with TemporaryDirectory() as name:
        folder = Path(name)
        base, motion = write_animatediff(folder / "sd", folder / "motion")
        return Models(
            load_audioldm(write_audioldm(folder / "audioldm")),
            load_animatediff(base, motion),
            load_imagebind(write_imagebind(folder / "imagebind.safetensors")),
        )


POCKET_BINDERS = {"imagebind": MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors", "pe_av": MODELS_DIR / "pe_av"}


def pocket(binder: str = "imagebind") -> Models:
    video = MODELS_DIR / "animatediff"
    return Models(
        load_audioldm(MODELS_DIR / "audioldm"),
        load_animatediff(video / "sd", video / "motion_adapter"),
        load_binder(POCKET_BINDERS[binder]),
    )


def real(dtype: torch.dtype = torch.float32) -> Models:
    with torch.device("meta"):
        audio, video = audioldm_m(), animatediff()
    shells = Models(audio, video, ImageBind(blank_towers(IMAGEBIND_HUGE)))
    return Models(*(shell.to(dtype) for shell in shells))


def real_on(device: torch.device | str, dtype: torch.dtype) -> Models:
    """The real sizes with random weights on a device, in the precision that the loaders give them: VAE and vocoder of sounds in fp32."""
    torch.manual_seed(0)
    with torch.device(device):
        audio, video, towers = audioldm_m(), animatediff(), build(IMAGEBIND_HUGE)
    audio.vae.to(torch.float32), audio.vocoder.to(torch.float32)
    audio.unet.to(dtype), audio.text_encoder.to(dtype)
    return Models(audio, video.to(dtype), ImageBind(towers).to(dtype))


def huge_binder() -> Models:
    """imagebind_huge with random weights, for real; the others are stand-ins."""
    torch.manual_seed(0)
    return stand_in()._replace(binder=ImageBind(build(IMAGEBIND_HUGE)))


def audioldm_m(width: int = 192) -> AudioLDM:
    """width: 128 for AudioLDM-s, 192 for -m, 256 for -l."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import (
        ClapTextConfig,
        ClapTextModelWithProjection,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
    )

    widths = [width * factor for factor in (1, 2, 3, 5)]
    unet = UNet2DConditionModel(
        sample_size=128,
        in_channels=8,
        out_channels=8,
        block_out_channels=widths,
        layers_per_block=2,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
        cross_attention_dim=widths,
        attention_head_dim=8,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=512,
        class_embeddings_concat=True,
    )
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(128, 256, 512),
        layers_per_block=2,
        latent_channels=8,
        sample_size=1024,
    )
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16000,
            upsample_initial_channel=1024,
            upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4],
            resblock_kernel_sizes=[3, 7, 11],
            resblock_dilation_sizes=[[1, 3, 5]] * 3,
            normalize_before=False,
        )
    )
    text_encoder = ClapTextModelWithProjection(ClapTextConfig())
    with torch.device("cpu"):
        scheduler = DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.0015,
            beta_end=0.0195,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        )
    return AudioLDM(unet, vae, vocoder, text_encoder, None, scheduler)


def animatediff() -> AnimateDiff:
    from diffusers import DDIMScheduler, UNetMotionModel

    unet, vae, text_encoder = stable_diffusion()
    with torch.device("cpu"):
        scheduler = DDIMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, steps_offset=1, clip_sample=False)
    return AnimateDiff(UNetMotionModel.from_unet2d(unet, motion_adapter()), vae, text_encoder, None, scheduler)


def motion_adapter() -> nn.Module:
    from diffusers import MotionAdapter

    return MotionAdapter(motion_max_seq_length=32)


def stable_diffusion() -> tuple[nn.Module, nn.Module, nn.Module]:
    """UNet, VAE and text encoder of Stable Diffusion 1.5."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    widths = (320, 640, 1280, 1280)
    unet = UNet2DConditionModel(
        sample_size=64,
        in_channels=4,
        out_channels=4,
        block_out_channels=widths,
        layers_per_block=2,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    )
    return unet, vae, text_encoder


def weight_bytes(model: nn.Module) -> int:
    return sum(weight.nbytes for weight in model.parameters())
