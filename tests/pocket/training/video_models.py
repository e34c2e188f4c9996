"""The pocket AnimateDiff: a small Stable Diffusion UNet and a motion adapter, built, joined, split and saved."""

import json
from pathlib import Path

import torch
from diffusers import (
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from torch import Tensor, nn

from tests.pocket.training.picture_text import TEXT_WIDTH

CHANNELS = (48, 64)
GROUPS, HEADS = 8, 2
STEADY = 8.0  # value of the constant channels that keep a group's norm steady, in standard deviations of the latent


def build_unet() -> UNet2DConditionModel:
    """SD's UNet, narrow: latents (B, 4, 8, 8), attention at 8 x 8, plain blocks at 4 x 4."""
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=GROUPS,
        attention_head_dim=HEADS,
    )
    start_as_copy(unet)
    return unet


def build_motion_adapter() -> MotionAdapter:
    """Motion modules for every block; each starts as the identity."""
    adapter = MotionAdapter(
        block_out_channels=CHANNELS,
        motion_layers_per_block=1,
        motion_num_attention_heads=HEADS,
        motion_norm_num_groups=GROUPS,
        motion_max_seq_length=32,
        use_motion_mid_block=False,
    )
    for name, parameter in adapter.named_parameters():
        if ".proj_out." in name:
            nn.init.zeros_(parameter)
    return adapter


@torch.no_grad()
def start_as_copy(unet: UNet2DConditionModel) -> None:
    """Initialise the UNet so that its output is its input.

    At high noise the noise is nearly the input, and what decides colour and kind is the small difference; a network
    that has first to learn to copy spends its training on that. The latent z runs from conv_in over the last skip
    connection as z and -z, since silu(z) - silu(-z) = z; constant channels beside them keep the group norm from
    scaling each picture by its own size.
    """
    width = CHANNELS[0] // GROUPS
    pairs = [(group * width + 2 * i, group * 2 + i) for group in range(2) for i in range(2)]  # (channel, latent)
    block = unet.up_blocks[-1]
    resnet, skip = block.resnets[-1], block.resnets[-1].conv_shortcut
    for channel, latent in pairs:
        unet.conv_in.weight[latent].zero_()
        unet.conv_in.weight[latent, latent, 1, 1] = 1
        unet.conv_in.bias[latent] = 0
        unet.conv_out.weight[latent].zero_()
        unet.conv_out.weight[latent, channel, 1, 1] = 1
        unet.conv_out.weight[latent, channel + 1, 1, 1] = -1
        unet.conv_out.bias[latent] = 0
    kept = slice(0, 2 * width)
    for layer in (skip, resnet.conv2, block.attentions[-1].proj_out):
        layer.weight[kept].zero_()
        layer.bias[kept] = 0
    source = skip.in_channels - CHANNELS[0]  # the skip connection comes after the hidden channels
    for channel, latent in pairs:
        skip.weight[channel, source + latent], skip.weight[channel + 1, source + latent] = 1, -1
    for group in range(2):
        skip.bias[group * width + 4], skip.bias[group * width + 5] = STEADY, -STEADY
    unet.conv_norm_out.weight[kept] = ((4 + 2 * STEADY**2) / width) ** 0.5


def build_scheduler() -> DDIMScheduler:
    """The DDIM scheduler that AnimateDiff uses."""
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False, steps_offset=1
    )


def split(model: UNetMotionModel) -> tuple[UNet2DConditionModel, MotionAdapter]:
    """The UNet and the motion adapter of a joined model, each with all its weights."""
    unet, adapter = build_unet(), build_motion_adapter()
    state = model.state_dict()
    moving = {name: value for name, value in state.items() if ".motion_modules." in name}
    unet.load_state_dict({name: value for name, value in state.items() if name not in moving}, strict=True)
    adapter.load_state_dict(moving, strict=True)
    return unet, adapter


def save_pipeline(model: UNetMotionModel, out: Path) -> None:
    """Save a trained model as out/sd/unet, out/motion_adapter, the scheduler and model_index.json."""
    unet, adapter = split(model)
    unet.half().save_pretrained(out / "sd" / "unet")
    adapter.half().save_pretrained(out / "motion_adapter")
    build_scheduler().save_pretrained(out / "sd" / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": unet.config["_diffusers_version"],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (out / "sd" / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def noise_at(z0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noisy latent at a cumulative alpha of shape (B, 1, ...)."""
    return alpha_bar.sqrt() * z0 + (1 - alpha_bar).sqrt() * noise
