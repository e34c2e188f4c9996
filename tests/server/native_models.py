"""ComfyUI's own model and VAE classes, as small as they can be built, with random weights. For a process that has imported ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.supported_models as supported
import torch
from comfy.ldm.ace.vae.music_dcae_pipeline import MusicDCAE
from comfy.ldm.audio.autoencoder import AudioOobleckVAE
from comfy.ldm.audio.embedders import NumberConditioner
from comfy.ldm.audio.vae_sa3 import SA3AudioVAE
from comfy.ldm.lightricks.vae.audio_vae import AudioVAE
from comfy.ldm.lightricks.vae.causal_video_autoencoder import VideoVAE
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.ldm.wan.vae import WanVAE
from comfy.model_patcher import ModelPatcher
from comfy.nested_tensor import NestedTensor
from comfy.sd import VAE
from torch import Tensor, nn

CPU = torch.device("cpu")


@dataclass
class Family:
    """model, vae, audio_vae: as a graph passes them on.  latent: an empty one.  positive, negative: conditioning."""

    model: ModelPatcher
    vae: VAE
    latent: Any
    positive: list[Any]
    negative: list[Any]
    audio_vae: VAE | None = None


def random_weights(module: nn.Module, scale: float = 1.0) -> nn.Module:
    """ComfyUI's layers come without any: each matrix random so that it keeps the size of what passes through it."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0, scale * max(1, weight[0].numel()) ** -0.5)
            elif name.endswith("bias"):
                weight.normal_(0, 0.02)
            elif name.endswith(("alpha", "beta")):  # of snakes as logarithms, or of norms
                weight.fill_(float("norm" in name and "alpha" in name))
            else:
                weight.fill_(1.0)
        for name, value in module.named_buffers():
            if "std-of-means" in name or "mean-of-stds" in name:
                value.fill_(1.0)
            elif "mean" in name:
                value.fill_(0.0)
            elif name.endswith("inv_freq"):
                value.copy_(1e4 ** -torch.linspace(0, 1, len(value)))
    return module.eval().requires_grad_(False)


def as_vae(model: nn.Module, **attributes: Any) -> VAE:
    """A VAE round a model that is smaller than any that `VAE` would make of a file."""
    vae = object.__new__(VAE)
    vae.first_stage_model, vae.device, vae.output_device, vae.vae_dtype = model, CPU, CPU, torch.float32
    vae.patcher = ModelPatcher(model, CPU, CPU)
    plain = {
        "latent_channels": 4,
        "latent_dim": 2,
        "output_channels": 3,
        "upscale_ratio": 8,
        "downscale_ratio": 8,
        "audio_sample_rate": 44100,
        "process_output": lambda image: image.add_(1.0).div_(2.0).clamp_(0.0, 1.0),
        "process_input": lambda image: image * 2.0 - 1.0,
        "memory_used_decode": lambda shape, dtype: 1,
        "disable_offload": True,
        "extra_1d_channel": None,
        "size": None,
    }
    for name, value in (plain | attributes).items():
        setattr(vae, name, value)
    return vae


def _model(config: Any, unet_config: dict[str, Any], state: dict[str, Tensor] | None = None) -> ModelPatcher:
    made = config({**config.unet_config, **unet_config})
    made.set_inference_dtype(torch.float32, None)
    model = made.get_model(state or {}, "", device=CPU)
    random_weights(model.diffusion_model)
    return ModelPatcher(model, CPU, CPU)


def _words(width: int, tokens: int = 3, **more: Any) -> tuple[list[Any], list[Any]]:
    torch.manual_seed(2)
    return [[torch.randn(1, tokens, width), dict(more)]], [[torch.randn(1, tokens, width), dict(more)]]


def _seconds(names: list[str], **options: Any) -> dict[str, Tensor]:
    """Weights of the embedders of seconds, which a Stable Audio checkpoint holds."""
    state = {}
    for name in names:
        for key, weight in random_weights(NumberConditioner(768, **options)).state_dict().items():
            state[f"conditioner.conditioners.{name}.{key}"] = weight
    return state


def _sound(channels: int = 2) -> dict[str, Any]:
    return {"output_channels": channels, "process_output": lambda audio: audio}


def stable_audio(frames: int = 24) -> Family:
    model = _model(
        supported.StableAudio,
        {"embed_dim": 64, "depth": 2, "num_heads": 2, "project_cond_tokens": True, "global_cond_dim": 1536},
        _seconds(["seconds_start", "seconds_total"]),
    )
    vae = as_vae(
        random_weights(AudioOobleckVAE(channels=8, c_mults=[1, 2, 2, 4, 4])),
        latent_channels=64,
        latent_dim=1,
        upscale_ratio=2048,
        **_sound(),
    )
    return Family(model, vae, torch.zeros(1, 64, frames), *_words(768))


def stable_audio_3(frames: int = 12) -> Family:
    model = _model(
        supported.StableAudio3,
        {
            "io_channels": 256,
            "embed_dim": 64,
            "depth": 2,
            "num_heads": 2,
            "project_cond_tokens": True,
            "global_cond_dim": 768,
            "local_add_cond_dim": 257,
            "timestep_features_type": "expo",
            "global_cond_type": "adaLN",
        },
        _seconds(["seconds_total"], fourier_features_type="expo"),
    )
    vae = as_vae(
        random_weights(SA3AudioVAE(channels=32, transformer_depths=1, sinusoidal_blocks=0)),
        latent_channels=256,
        latent_dim=1,
        upscale_ratio=4096,
        **_sound(),
    )
    return Family(model, vae, torch.zeros(1, 256, frames), *_words(768))


def ace_step(frames: int = 6) -> Family:
    model = _model(
        supported.ACEStep,
        {
            "num_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "lyric_encoder_vocab_size": 16,
            "text_embedding_dim": 32,
            "ssl_encoder_depths": [],
            "ssl_names": [],
            "ssl_latent_dims": [],
        },
    )
    codec = MusicDCAE(
        source_sample_rate=44100,
        dcae_config={
            "encoder_block_out_channels": (8, 8, 16, 32),
            "decoder_block_out_channels": (8, 8, 16, 32),
            "encoder_layers_per_block": (1, 1, 1, 1),
            "decoder_layers_per_block": (1, 1, 1, 1),
        },
        vocoder_config={"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 16], "num_mels": 16, "upsample_initial_channel": 128},
    )
    vae = as_vae(random_weights(codec), latent_channels=8, upscale_ratio=4096, extra_1d_channel=16, **_sound())
    return Family(
        model,
        vae,
        torch.zeros(1, 8, 16, frames),
        *_words(32, conditioning_lyrics=torch.tensor([[1, 2, 3]]), lyrics_strength=1.0),
    )


def pictures(batch: int = 1, side: int = 16) -> Family:
    model = _model(
        supported.SD15,
        {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": 32,
            "num_res_blocks": [1, 1],
            "channel_mult": [1, 2],
            "transformer_depth": [1, 0],
            "transformer_depth_middle": 0,
            "transformer_depth_output": [1, 1, 0, 0],
            "num_head_channels": 16,
            "context_dim": 32,
            "use_spatial_transformer": True,
            "adm_in_channels": None,
            "use_linear_in_transformer": False,
            "legacy": False,
        },
    )
    shape = {"double_z": True, "z_channels": 4, "resolution": 64, "in_channels": 3, "out_ch": 3, "ch": 32}
    more = {"ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0}
    codec = AutoencoderKL(ddconfig=shape | more, embed_dim=4)
    return Family(model, as_vae(random_weights(codec)), torch.zeros(batch, 4, side, side), *_words(32))


def wan(frames: int = 4, side: int = 8) -> Family:
    model = _model(
        supported.WAN21_T2V,
        {"dim": 48, "ffn_dim": 64, "num_heads": 2, "num_layers": 1, "text_dim": 32, "freq_dim": 32},
    )
    vae = as_vae(
        random_weights(
            WanVAE(dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True])
        ),
        latent_channels=16,
        latent_dim=3,
        upscale_ratio=(lambda a: max(0, a * 4 - 3), 8, 8),
    )
    return Family(model, vae, torch.zeros(1, 16, frames, side, side), *_words(32))


def ltx_av(frames: int = 3, side: int = 2, sound: int = 25) -> Family:
    model = _model(
        supported.LTXAV,
        {
            "in_channels": 128,
            "cross_attention_dim": 32,
            "audio_cross_attention_dim": 32,
            "attention_head_dim": 16,
            "audio_attention_head_dim": 16,
            "num_attention_heads": 2,
            "audio_num_attention_heads": 2,
            "caption_channels": 32,
            "num_layers": 1,
        },
    )
    video = VideoVAE(version=0, config=LTX_VIDEO)
    codec = AudioVAE({"config": LTX_AUDIO})
    vae = as_vae(random_weights(video), latent_channels=128, latent_dim=3, upscale_ratio=(lambda a: max(0, a * 8 - 7), 32, 32))
    audio_vae = as_vae(
        random_weights(codec),
        latent_channels=codec.latent_channels,
        upscale_ratio=4096,
        extra_1d_channel=16,
        audio_sample_rate_output=codec.output_sample_rate,
        **_sound(),
    )
    latent = NestedTensor([torch.zeros(1, 128, frames, side, side), torch.zeros(1, 8, sound, 16)])
    return Family(model, vae, latent, *_words(64), audio_vae=audio_vae)


LTX_VIDEO = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "blocks": [["res_x", 1], ["compress_all", 1], ["compress_all", 1], ["compress_all", 1]],
    "encoder_base_channels": 8,
    "decoder_base_channels": 8,
    "scaling_factor": 1.0,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "use_quant_conv": False,
    "causal_decoder": False,
    "timestep_conditioning": False,
}
LTX_AUDIO: dict[str, Any] = {
    "audio_vae": {
        "model": {
            "params": {
                "sampling_rate": 16000,
                "ddconfig": {
                    "double_z": True,
                    "mel_bins": 64,
                    "z_channels": 8,
                    "resolution": 256,
                    "downsample_time": False,
                    "in_channels": 2,
                    "out_ch": 2,
                    "ch": 16,
                    "ch_mult": [1, 2, 4],
                    "num_res_blocks": 1,
                    "attn_resolutions": [],
                    "dropout": 0.0,
                    "mid_block_add_attention": False,
                    "norm_type": "pixel",
                    "causality_axis": "height",
                },
            }
        },
        "preprocessing": {"stft": {"filter_length": 1024, "hop_length": 160}},
    },
    "vocoder": {
        "upsample_rates": [6, 5, 2, 2, 2],
        "upsample_kernel_sizes": [16, 15, 8, 4, 4],
        "upsample_initial_channel": 64,
    },
}
FAMILIES: dict[str, Callable[[], Family]] = {
    "stable_audio": stable_audio,
    "stable_audio_3": stable_audio_3,
    "ace_step": ace_step,
    "pictures": pictures,
    "wan": wan,
    "ltx_av": ltx_av,
}
