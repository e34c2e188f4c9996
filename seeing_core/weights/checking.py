"""Do these tensors belong to this model? Names and shapes are compared before anything is copied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .files import abbreviate

MAX_LISTED = 5
OLD_BUFFERS = ("position_ids", "token_type_ids", "num_batches_tracked")  # written by old releases, computed by new ones
SDXL_WIDTH = 2048


def load_strict(where: str, model: nn.Module, state: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """`model`, made without memory (torch.device("meta")), now holding `state` itself where it already is of `dtype`.

    Raises InputError on missing, unexpected and misshapen weights, and on NaN.
    """
    state = {key: value for key, value in state.items() if not key.endswith(OLD_BUFFERS)}
    expected = model.state_dict()
    compare(where, expected, state)
    check_finite(where, state)
    model.load_state_dict(
        {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()},
        strict=False,
        assign=True,
    )
    return model


def compare(where: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raises InputError with a short report unless names and shapes are the same."""
    wrong = [
        (key, found[key].shape, own.shape) for key, own in expected.items() if key in found and found[key].shape != own.shape
    ]
    optional = {key for key in expected if key.endswith(OLD_BUFFERS)}
    raise_mismatch(where, expected.keys() - found.keys() - optional, found.keys() - expected.keys(), wrong, looks_like(found))


def raise_mismatch(
    where: str, missing: Iterable[str], unexpected: Iterable[str], wrong: Sequence[tuple[Any, ...]], seems: str = ""
) -> None:
    """Raises InputError with a short report unless all three are empty.  seems: what the file looks like instead."""
    shapes = [f"{key} {tuple(found)}, not {tuple(needed)}" for key, found, needed in wrong]
    found = {"missing": sorted(missing), "unexpected": sorted(unexpected), "wrong shape": sorted(shapes)}
    lines = [f"{len(keys)} {what} ({abbreviate(keys, MAX_LISTED)})" for what, keys in found.items() if keys]
    if lines:
        raise InputError(
            where,
            "weights that do not fit: " + "; ".join(lines),
            "exactly this model's weights",
            f"This looks like {seems}." if seems else "",
        )


def check_finite(where: str, state: Mapping[str, Tensor]) -> None:
    """Raises InputError when there are NaN or infinite weights."""
    # The text tower's causal mask is a stored buffer and holds -inf, but no NaN, by design.
    bad = [
        key
        for key, value in state.items()
        if value.is_floating_point() and (torch.isnan(value).any() or (not key.endswith(".mask") and torch.isinf(value).any()))
    ]
    if bad:
        raise InputError(
            where, f"NaN or infinite weights ({abbreviate(bad, MAX_LISTED)})", "finite weights", "Download it again."
        )


def check_size(where: str, model: nn.Module, stored: int) -> None:
    """Raises InputError when a configuration asks for much more than `stored` bytes can hold: memory for it is never taken.

    model: made on torch.device("meta").
    """
    asked = sum(value.numel() for value in model.state_dict().values())
    if asked > 2 * stored + 200_000_000:
        raise InputError(
            where,
            f"a configuration for {asked:,} numbers beside files of {stored:,} bytes",
            "a configuration that belongs to the weights",
            "Download it again.",
        )


def looks_like(tensors: Mapping[str, Tensor]) -> str:
    """A guess, in words, of what a file with these names and shapes is; empty when it is nothing well known."""
    for words, test in _LOOKS:
        if test(tensors):
            return words
    return ""


def _any(*parts: str) -> Any:
    return lambda tensors: any(part in key for key in tensors for part in parts)


def _first_width(key: str, axis: int, *widths: int) -> Any:
    return lambda tensors: key in tensors and tensors[key].shape[axis] in widths


_UNET = "model.diffusion_model."
_CROSS = _UNET + "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"

# The first that fits is taken.
_LOOKS: list[tuple[str, Any]] = [
    ("a LoRA, not a whole model", _any("lora_up", "lora_down", "lora_A", "lora_B", "_lora.", ".lora.")),
    ("a ControlNet", _any("control_model.", "controlnet_", "input_hint_block")),
    ("AudioLDM 2", _any("cond_stage_models.", "sequence_gen")),
    ("SDXL", _any("conditioner.embedders.1.")),
    ("SDXL", _first_width(_CROSS, 1, SDXL_WIDTH)),
    ("Stable Diffusion 2", _any("cond_stage_model.model.transformer.resblocks")),
    ("an inpainting model", _first_width(_UNET + "input_blocks.0.0.weight", 1, 9)),
    ("AudioLDM", _any(_UNET + "video_emb.")),
    ("Stable Diffusion 1.5", _any("cond_stage_model.transformer.text_model.")),
    ("an AnimateDiff motion module", _any("motion_modules.")),
    (
        "ImageBind without audio",
        lambda tensors: _any("modality_trunks.")(tensors) and not _any("modality_trunks.audio.")(tensors),
    ),
    ("ImageBind", _any("modality_trunks.")),
    ("a newer kind of image model (Flux, Stable Diffusion 3 or the like)", _any("double_blocks.", "joint_blocks.")),
    ("a diffusion model without its text encoder and VAE", _any(_UNET)),
    ("a VAE alone", lambda tensors: "encoder.conv_in.weight" in tensors and "decoder.conv_in.weight" in tensors),
]
