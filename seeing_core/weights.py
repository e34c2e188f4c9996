"""Checkpoints from disk: only the files named, every key and shape accounted for, no code run from a weight file."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .audio.audioldm import AudioLDM
from .binders.imagebind import ImageBind, build
from .errors import InputError
from .video.animatediff import AnimateDiff

AUDIOLDM_PARTS = ("unet", "vae", "vocoder", "text_encoder", "tokenizer", "scheduler")
SD_PARTS = ("unet", "vae", "text_encoder", "tokenizer")
UNREADABLE = (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError,
              zipfile.BadZipFile)
OLD_BUFFERS = ("position_ids",)  # written by old transformers releases, computed by new ones
LISTED = 5


def load_audioldm(folder: Path | str) -> AudioLDM:
    """AudioLDM from a diffusers folder. Raises InputError naming the part that is missing, unreadable or does not fit.

    The folder holds unet/, vae/, vocoder/, text_encoder/, tokenizer/ and scheduler/, as `save_pretrained` writes them.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import AutoTokenizer, ClapTextModelWithProjection, SpeechT5HifiGan

    folder = Path(folder)
    _check_folder("AudioLDM", folder, AUDIOLDM_PARTS)
    models = {
        part: _load_part(cls, folder / part, "AudioLDM")
        for part, cls in [("unet", UNet2DConditionModel), ("vae", AutoencoderKL), ("vocoder", SpeechT5HifiGan),
                          ("text_encoder", ClapTextModelWithProjection)]
    }
    tokenizer = _read("AudioLDM tokenizer", folder / "tokenizer", AutoTokenizer.from_pretrained)
    scheduler = _read("AudioLDM scheduler", folder / "scheduler", DDIMScheduler.from_pretrained)
    _check_audioldm(models, folder)
    return AudioLDM(**models, tokenizer=tokenizer, scheduler=scheduler)


def _check_audioldm(models: Mapping[str, nn.Module], folder: Path) -> None:
    """Raises InputError when the parts are fine alone but do not belong together, e.g. AudioLDM 2 or Stable Diffusion."""
    unet, vae, vocoder = (models[part].config for part in ("unet", "vae", "vocoder"))
    if unet.class_embed_type != "simple_projection" or vae.in_channels != 1:
        raise InputError("AudioLDM", f"'{folder}', which holds another kind of diffusion model",
                         "AudioLDM (version 1): a UNet conditioned by class embedding, a one-channel VAE")
    if unet.in_channels != vae.latent_channels:
        raise InputError("AudioLDM", f"a UNet of {unet.in_channels} channels with a VAE of {vae.latent_channels}",
                         "parts of one checkpoint")
    if unet.projection_class_embeddings_input_dim != models["text_encoder"].config.projection_dim:
        raise InputError("AudioLDM", "a text encoder whose embedding does not fit the UNet", "parts of one checkpoint")
    if vocoder.model_in_dim % 2 ** (len(vae.block_out_channels) - 1):
        raise InputError("AudioLDM", f"a vocoder of {vocoder.model_in_dim} mel bands", "parts of one checkpoint")


def load_animatediff(base: Path | str, motion: Path | str) -> AnimateDiff:
    """AnimateDiff from a Stable Diffusion 1.5 diffusers folder and a MotionAdapter folder (`save_pretrained`).

    Raises InputError naming the part that is missing, unreadable or does not fit.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, MotionAdapter, UNet2DConditionModel, UNetMotionModel
    from transformers import AutoTokenizer, CLIPTextModel

    base, motion = Path(base), Path(motion)
    _check_folder("Stable Diffusion", base, SD_PARTS)
    if (base / "text_encoder_2").exists():
        raise InputError("Stable Diffusion", f"'{base}', which is SDXL", "a Stable Diffusion 1.5 folder")
    unet = _load_part(UNet2DConditionModel, base / "unet", "Stable Diffusion")
    adapter = _load_part(MotionAdapter, motion, "motion adapter")
    text_encoder = _load_part(CLIPTextModel, base / "text_encoder", "Stable Diffusion")
    vae = _load_part(AutoencoderKL, base / "vae", "Stable Diffusion")
    widths = tuple(unet.config.block_out_channels), tuple(adapter.config.block_out_channels)
    if widths[0] != widths[1] or unet.config.layers_per_block != adapter.config.motion_layers_per_block:
        raise InputError("motion adapter", f"'{motion}', made for a UNet of widths {widths[1]}",
                         f"one for this base model's widths {widths[0]}")
    if unet.config.cross_attention_dim != text_encoder.config.hidden_size:
        raise InputError("Stable Diffusion", f"'{base}', whose text encoder does not fit its UNet", "parts of one checkpoint")
    tokenizer = _read("Stable Diffusion tokenizer", base / "tokenizer", AutoTokenizer.from_pretrained)
    # AnimateDiff's own noise schedule: the base model's is another one.
    scheduler = DDIMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, steps_offset=1,
                              clip_sample=False)
    return AnimateDiff(UNetMotionModel.from_unet2d(unet, adapter), vae, text_encoder, tokenizer, scheduler)


def _check_folder(what: str, folder: Path, parts: Sequence[str]) -> None:
    absent = [part for part in parts if not (folder / part).is_dir()]
    if absent:
        raise InputError(what, f"folder '{folder}' without {', '.join(absent)}",
                         "a diffusers folder with " + ", ".join(parts))


def _read(what: str, folder: Path, reader: Callable[..., Any]) -> Any:
    try:
        return reader(folder, local_files_only=True)
    except UNREADABLE as error:
        raise InputError(what, f"files that cannot be read ({_first_line(error)})",
                         f"the original files in '{folder}'") from error


def _load_part(cls: type, folder: Path, what: str) -> nn.Module:
    """One component through its library's own loader, strictly."""
    where = f"{what} part '{folder}'"
    if not (folder / "config.json").is_file():  # transformers would go on with its own default sizes
        raise InputError(where, "a folder without config.json", "a whole diffusers folder", "Download it again.")
    # Each library keeps a missing key's random start silently; its loading report is what makes the load strict.
    options: dict[str, Any] = {"output_loading_info": True, "local_files_only": True, "ignore_mismatched_sizes": True}
    if cls.__module__.startswith("diffusers"):
        options["low_cpu_mem_usage"] = False
    try:
        model, report = cls.from_pretrained(folder, **options)
    except UNREADABLE as error:
        raise InputError(where, f"a file that cannot be read ({_first_line(error)})", "an undamaged checkpoint",
                         "Download it again.") from error
    unexpected = [key for key in report["unexpected_keys"] if not key.endswith(OLD_BUFFERS)]
    _refuse(where, report["missing_keys"], unexpected, report["mismatched_keys"])
    _check_finite(where, model.state_dict())
    return model.float()  # whatever precision the file has: parts of one model must agree


def load_imagebind(path: Path | str) -> ImageBind:
    """ImageBind from `.pth` (the official file) or `.safetensors`. Raises InputError when anything does not fit."""
    path = Path(path)
    state, metadata = read_tensors(path)
    where = f"ImageBind file '{path}'"
    try:
        config = json.loads(metadata["config"]) if "config" in metadata else _imagebind_config(state)
        towers = build(config)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(where, f"other weights ({_first_line(error)})", "an ImageBind checkpoint with all its towers"
                         ) from error
    expected = towers.state_dict()
    wrong = [(key, state[key].shape, own.shape) for key, own in expected.items()
             if key in state and state[key].shape != own.shape]
    _refuse(where, expected.keys() - state.keys(), state.keys() - expected.keys(), wrong)
    _check_finite(where, state)
    towers.load_state_dict(state, strict=True)
    return ImageBind(towers.float())


def _imagebind_config(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Constructor arguments read off the tensors' shapes; head counts, which leave no shape, are imagebind_huge's."""
    config: dict[str, object] = {"out_embed_dim": state["modality_heads.vision.2.weight"].shape[0]}
    for tower in ("vision", "audio", "text", "depth", "thermal", "imu"):
        blocks = {key.split(".")[3] for key in state if key.startswith(f"modality_trunks.{tower}.blocks.")}
        config[f"{tower}_num_blocks"] = len(blocks)
        config[f"{tower}_embed_dim"] = state[f"modality_trunks.{tower}.blocks.0.norm_1.weight"].shape[0]
    config |= {"vision_num_heads": 16, "text_num_heads": 16}
    return config


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a `.safetensors` file, or of a `.pth` read without running code, and the file's metadata.

    Raises InputError if the file is absent, truncated, holds code, or is neither format.
    """
    where = f"file '{path}'"
    if not path.is_file():
        raise InputError(where, "no such file", "a weight file")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UNREADABLE as error:
        raise InputError(where, f"a file that cannot be read safely ({_first_line(error)})",
                         "an undamaged weight file that holds tensors only", "Download it again.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(where, "something else than a state dict", "names and tensors only")
    return state, {}


def _refuse(where: str, missing: Sequence[str], unexpected: Sequence[str], wrong: Sequence[tuple]) -> None:
    """Raises InputError with a short report unless all three are empty."""
    shapes = [f"{key} {tuple(found)}, not {tuple(needed)}" for key, found, needed in wrong]
    found = {"missing": sorted(missing), "unexpected": sorted(unexpected), "wrong shape": sorted(shapes)}
    lines = [f"{len(keys)} {what} ({_some(keys)})" for what, keys in found.items() if keys]
    if lines:
        raise InputError(where, "weights that do not fit: " + "; ".join(lines), "exactly this model's weights")


def _check_finite(where: str, state: Mapping[str, Tensor]) -> None:
    # The text tower's causal mask is a stored buffer and holds -inf, but no NaN, by design.
    bad = [key for key, value in state.items() if value.is_floating_point()
           and (torch.isnan(value).any() or not key.endswith(".mask") and torch.isinf(value).any())]
    if bad:
        raise InputError(where, f"NaN or infinite weights ({_some(bad)})", "finite weights", "Download it again.")


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
