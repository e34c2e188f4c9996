"""Tiny randomly initialised checkpoints in the real on-disk layouts and names. They prove shapes, never quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

IMAGEBIND_SIZES = {
    "out_embed_dim": 32,
    "vision_embed_dim": 32,
    "vision_num_blocks": 1,
    "text_embed_dim": 16,
    "text_num_blocks": 1,
    "audio_embed_dim": 24,
    "audio_num_blocks": 1,
    "depth_embed_dim": 8,
    "depth_num_blocks": 1,
    "thermal_embed_dim": 12,
    "thermal_num_blocks": 1,
    "imu_embed_dim": 8,
    "imu_num_blocks": 1,
    "vision_num_heads": 16,
    "text_num_heads": 16,
}


def write_imagebind(path: Path, *, seed: int = 0) -> Path:
    """An ImageBind file, `.pth` or `.safetensors` by its suffix, with all six towers under the official key names."""
    return write_imagebind_of(IMAGEBIND_SIZES, path, seed=seed)


def write_imagebind_of(sizes: dict[str, int], path: Path, *, seed: int = 0) -> Path:
    """Likewise, of these sizes."""
    from safetensors.torch import save_file

    from seeing_core.binders.imagebind import build

    torch.manual_seed(seed)
    state = build(sizes).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def write_audioldm(folder: Path, *, seed: int = 0) -> Path:
    """An AudioLDM diffusers folder: the five classes of cvssp/audioldm-s-full-v2, a few channels wide."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import (
        ClapTextConfig,
        ClapTextModelWithProjection,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
    )

    torch.manual_seed(seed)
    widths = (8, 16, 24, 40)
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
        projection_class_embeddings_input_dim=32,
        class_embeddings_concat=True,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=4,
        scaling_factor=0.92,
        sample_size=1024,
    )
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16000,
            upsample_initial_channel=32,
            upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3]],
            normalize_before=False,
        )
    )
    text_encoder = ClapTextModelWithProjection(
        ClapTextConfig(
            vocab_size=300,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            projection_dim=32,
            max_position_embeddings=514,
        )
    )
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.0015,
        beta_end=0.0195,
        num_train_timesteps=1000,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return save_audioldm(folder, unet, vae, vocoder, text_encoder, scheduler)


def save_audioldm(folder: Path, unet: Any, vae: Any, vocoder: Any, text_encoder: Any, scheduler: Any) -> Path:
    """Networks without weights of their own as a whole diffusers folder of AudioLDM."""
    for parameter in vocoder.parameters():  # its own start is so small that the sound would be silence
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="leaky_relu")
    saved = {"unet": unet, "vae": vae, "vocoder": vocoder, "text_encoder": text_encoder, "scheduler": scheduler}
    for name, part in saved.items():
        part.save_pretrained(folder / name)
    write_roberta_tokenizer(folder / "tokenizer")
    parts = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "vocoder": ["transformers", "SpeechT5HifiGan"],
        "tokenizer": ["transformers", "RobertaTokenizerFast"],
        "text_encoder": ["transformers", "ClapTextModelWithProjection"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    index = {"_class_name": "AudioLDMPipeline", "_diffusers_version": "0.30.0", **parts}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def write_roberta_tokenizer(folder: Path) -> None:
    """A byte-level Roberta tokenizer without merges: every byte is a token, so any text can be read."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizer

    words = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "<mask>"]
    vocab = {word: number for number, word in enumerate(words)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    RobertaTokenizer(vocab=vocab, merges=[], model_max_length=512).save_pretrained(folder)


def write_animatediff(base: Path, motion: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """A Stable Diffusion 1.5 diffusers folder and a MotionAdapter folder with the real block structure, narrow."""
    from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    widths = (8, 16, 16, 16)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=widths,
        layers_per_block=2,
        down_block_types=(*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
        cross_attention_dim=16,
        attention_head_dim=8,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    vocab = _clip_vocabulary()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocab),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=len(vocab) - 2,
            eos_token_id=len(vocab) - 1,
        )
    )
    save_stable_diffusion(base, unet, vae, text_encoder)
    MotionAdapter(
        block_out_channels=widths,
        motion_layers_per_block=2,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        motion_max_seq_length=32,
    ).save_pretrained(motion)
    return base, motion


def save_stable_diffusion(folder: Path, unet: Any, vae: Any, text_encoder: Any) -> Path:
    """Networks as a whole diffusers folder, with a CLIP tokenizer without merges: every byte is a token."""
    from diffusers import PNDMScheduler
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer(vocab=_clip_vocabulary(), merges=[], model_max_length=77)
    saved = {
        "unet": unet,
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "scheduler": PNDMScheduler(beta_schedule="scaled_linear"),
    }
    for name, part in saved.items():
        part.save_pretrained(folder / name)
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0"}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _clip_vocabulary() -> dict[str, int]:
    words = [
        *sorted(_clip_alphabet()),
        *(word + "</w>" for word in sorted(_clip_alphabet())),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    return {word: number for number, word in enumerate(words)}


def _clip_alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel.alphabet()
