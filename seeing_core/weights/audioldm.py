"""AudioLDM from a diffusers folder, or from the single file of its authors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..generators.audioldm import AudioLDM
from .checking import looks_like
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

PARTS = ("unet", "vae", "vocoder", "text_encoder", "tokenizer", "scheduler")
VOCODER, CLAP = VAE + "vocoder.", "cond_stage_model.model."
HEAD_CHANNELS = 32  # the authors' configuration: each attention head of the UNet is that wide
CLAP_HEAD_CHANNELS = 64  # RoBERTa's
MEL_RATES = (5, 4, 2, 2, 2)  # how HiFi-GAN goes from 100 mel frames a second to 16 kHz
DILATIONS = (1, 3, 5)


def load_audioldm(path: Path | str, *, tokenizer: Path | str | None = None, dtype: torch.dtype = torch.float32) -> AudioLDM:
    """AudioLDM (version 1), frozen. VAE and vocoder stay in single precision: in half the sound gets noise.

    path: a folder with unet/, vae/, vocoder/, text_encoder/, tokenizer/ and scheduler/, as `save_pretrained` writes
    them; or the authors' `.ckpt`, which brings no tokenizer: `tokenizer` is then a folder with RoBERTa's.
    dtype: of the UNet and the text encoder. Raises InputError naming the part that is missing, unreadable or does not fit.
    """
    path = Path(path)
    if not path.is_file():
        return _from_folder(path, dtype)
    if tokenizer is None:
        raise InputError("AudioLDM tokenizer", "nothing", "the tokenizer folder of any AudioLDM diffusers folder")
    return _from_file(path, Path(tokenizer), dtype)


def _from_folder(folder: Path, dtype: torch.dtype) -> AudioLDM:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import AutoTokenizer, ClapTextModelWithProjection, SpeechT5HifiGan

    check_folder("AudioLDM", folder, PARTS)
    models = {
        part: load_part(cls, folder / part, "AudioLDM", precision)
        for part, cls, precision in [
            ("unet", UNet2DConditionModel, dtype),
            ("vae", AutoencoderKL, torch.float32),
            ("vocoder", SpeechT5HifiGan, torch.float32),
            ("text_encoder", ClapTextModelWithProjection, dtype),
        ]
    }
    tokenizer = read_part("AudioLDM tokenizer", folder / "tokenizer", AutoTokenizer.from_pretrained)
    scheduler = read_part("AudioLDM scheduler", folder / "scheduler", DDIMScheduler.from_pretrained)
    _check(models, folder)
    return AudioLDM(**models, tokenizer=tokenizer, scheduler=scheduler)


def _from_file(path: Path, tokenizer_folder: Path, dtype: torch.dtype) -> AudioLDM:
    from transformers import AutoTokenizer

    state = read_tensors(path).tensors
    where = f"AudioLDM file '{path}'"
    if UNET + "video_emb.weight" not in state:
        raise InputError(where, _what(looks_like(state)), "an AudioLDM (version 1) checkpoint of its authors")
    try:
        models = {
            "unet": _unet(where, strip_prefix(UNET, state), dtype),
            "vae": _vae(where, state),
            "vocoder": _vocoder(where, strip_prefix(VOCODER, state)),
            "text_encoder": _text_encoder(where, strip_prefix(CLAP, state), dtype),
        }
    except (KeyError, IndexError) as error:
        raise InputError(
            where, f"an AudioLDM file without {error}", "a whole AudioLDM checkpoint", "Download it again."
        ) from error
    _check(models, path)
    tokenizer = read_part("AudioLDM tokenizer", tokenizer_folder, AutoTokenizer.from_pretrained)
    return AudioLDM(**models, tokenizer=tokenizer, scheduler=_scheduler())


def _what(seems: str) -> str:
    return f"what looks like {seems}" if seems else "other weights"


def _unet(where: str, state: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    from diffusers import UNet2DConditionModel

    config = unet_config(state)
    widths = config["block_out_channels"]
    config |= {
        "cross_attention_dim": widths,
        "attention_head_dim": tuple(max(1, width // HEAD_CHANNELS) for width in widths),
        "class_embed_type": "simple_projection",
        "class_embeddings_concat": True,
        "projection_class_embeddings_input_dim": state["video_emb.weight"].shape[1],
    }
    renamed = unet_state(state, config)
    renamed |= {f"class_embedding.{kind}": state[f"video_emb.{kind}"] for kind in ("weight", "bias")}
    return converted_diffusers(f"{where}, UNet", UNet2DConditionModel, config, renamed, dtype)


def _vae(where: str, state: Mapping[str, Tensor]) -> nn.Module:
    from diffusers import AutoencoderKL

    own = strip_prefix(VAE, state)
    config = vae_config(own) | {"scaling_factor": float(state["scale_factor"])}
    return converted_diffusers(f"{where}, VAE", AutoencoderKL, config, vae_state(own, config), torch.float32)


def _vocoder(where: str, state: Mapping[str, Tensor]) -> nn.Module:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    stages = count_indices(r"ups\.(\d+)\.", state)
    kernels = count_indices(r"resblocks\.(\d+)\.", state) // max(stages, 1)
    start, mels, _ = state["conv_pre.weight"].shape
    config = SpeechT5HifiGanConfig(
        model_in_dim=mels,
        sampling_rate=16000,
        upsample_initial_channel=start,
        upsample_rates=list(MEL_RATES[:stages]),
        upsample_kernel_sizes=[state[f"ups.{i}.weight"].shape[-1] for i in range(stages)],
        resblock_kernel_sizes=[state[f"resblocks.{i}.convs1.0.weight"].shape[-1] for i in range(kernels)],
        resblock_dilation_sizes=[list(DILATIONS[: count_indices(r"resblocks\.0\.convs1\.(\d+)\.", state)])] * kernels,
        normalize_before=False,
    )
    renamed = {key.replace("ups.", "upsampler.", 1) if key.startswith("ups.") else key: value for key, value in state.items()}
    renamed |= {"mean": torch.zeros(mels), "scale": torch.ones(mels)}  # not used by this vocoder, but part of the class
    return converted_transformers(f"{where}, vocoder", SpeechT5HifiGan, config, renamed, torch.float32)


def _text_encoder(where: str, state: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """CLAP's text branch, a RoBERTa, and its projection; the audio branch is not used."""
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    branch = strip_prefix("text_branch.", state)
    vocabulary, width = branch["embeddings.word_embeddings.weight"].shape
    config = ClapTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=count_indices(r"encoder\.layer\.(\d+)\.", branch),
        num_attention_heads=max(1, width // CLAP_HEAD_CHANNELS),
        intermediate_size=branch["encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_position_embeddings=branch["embeddings.position_embeddings.weight"].shape[0],
        type_vocab_size=branch["embeddings.token_type_embeddings.weight"].shape[0],
        projection_dim=state["text_projection.0.weight"].shape[0],
        layer_norm_eps=1e-5,
        projection_hidden_act="relu",
    )
    renamed = {f"text_model.{key}": value for key, value in branch.items()}
    for layer, number in (("linear1", 0), ("linear2", 2)):
        renamed |= {
            f"text_projection.{layer}.{key}": value for key, value in strip_prefix(f"text_projection.{number}.", state).items()
        }
    return converted_transformers(f"{where}, text encoder", ClapTextModelWithProjection, config, renamed, dtype)


def _scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.0015,
        beta_end=0.0195,
        num_train_timesteps=1000,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _check(models: Mapping[str, nn.Module], path: Path) -> None:
    """Raises InputError when the parts are fine alone but do not belong together, e.g. AudioLDM 2 or Stable Diffusion."""
    unet, vae, vocoder = (models[part].config for part in ("unet", "vae", "vocoder"))
    if unet.class_embed_type != "simple_projection" or vae.in_channels != 1:
        raise InputError(
            "AudioLDM",
            f"'{path}', which holds another kind of diffusion model",
            "AudioLDM (version 1): a UNet conditioned by class embedding, a one-channel VAE",
        )
    if unet.in_channels != vae.latent_channels:
        raise InputError(
            "AudioLDM", f"a UNet of {unet.in_channels} channels with a VAE of {vae.latent_channels}", "parts of one checkpoint"
        )
    if unet.projection_class_embeddings_input_dim != models["text_encoder"].config.projection_dim:
        raise InputError("AudioLDM", "a text encoder whose embedding does not fit the UNet", "parts of one checkpoint")
    if vocoder.model_in_dim % 2 ** (len(vae.block_out_channels) - 1):
        raise InputError("AudioLDM", f"a vocoder of {vocoder.model_in_dim} mel bands", "parts of one checkpoint")
