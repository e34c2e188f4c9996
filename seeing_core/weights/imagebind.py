"""ImageBind from its official file or a safetensors copy: three of its six towers, one copy in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..binders.imagebind import TOWERS, ImageBind, blank_towers
from ..binders.phrases import vocabulary_of
from ..errors import InputError
from .checking import load_strict, looks_like
from .files import WeightFile, read_tensors

UNUSED = ("depth", "thermal", "imu")
PARTS = ("preprocessors", "trunks", "heads", "postprocessors")
HALF = torch.float16


def load_imagebind(path: Path | str, *, dtype: torch.dtype = torch.float32) -> ImageBind:
    """ImageBind's vision, audio and text towers from `.pth` (the official file) or `.safetensors`, frozen.

    The depth, thermal and motion-sensor towers are never built. Weights already of `dtype` stay mapped from the file:
    nothing is copied. A `.txt` file of the same name holds its vocabulary, one phrase a line, in place of the pack's own list.
    Raises InputError when anything does not fit.
    """
    file = read_tensors(path)
    where = f"ImageBind file '{path}'"
    state = _used(file.tensors)
    try:
        config = json.loads(file.metadata["config"]) if "config" in file.metadata else _config(state)
        towers = blank_towers(config)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        seems = looks_like(file.tensors)
        raise InputError(
            where,
            f"what looks like {seems}" if seems and seems != "ImageBind" else f"other weights ({error})",
            "an ImageBind checkpoint with its vision, audio and text towers",
        ) from error
    return ImageBind(load_strict(where, towers, state, dtype), vocabulary_of(Path(path).with_suffix(".txt")))


def convert_imagebind(source: Path | str, target: Path | str, *, dtype: torch.dtype = HALF) -> Path:
    """Writes a safetensors copy with the three towers that are used, in half precision: 4.8 GB become about 2 GB.

    target: a `.safetensors` file, written under another name first and renamed when whole.
    Raises InputError when the source is no ImageBind, the target exists, or the disk is full.
    """
    from safetensors.torch import save_file

    target = Path(target)
    if target.suffix != ".safetensors" or target.exists():
        raise InputError("target file", f"'{target}'", "a new .safetensors file")
    file = read_tensors(source)
    load_imagebind(source)  # refuses what is not a whole ImageBind
    halved = {
        key: value.to(dtype).contiguous() if value.is_floating_point() else value for key, value in _used(file.tensors).items()
    }
    part = target.with_suffix(".part")
    try:
        save_file(halved, part, metadata=_metadata(file))
        part.replace(target)
    except OSError as error:
        raise InputError(f"file '{target}'", f"a failure while writing ({error})", "a disk with room for it") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _metadata(file: WeightFile) -> dict[str, str]:
    config = file.metadata.get("config", json.dumps(_config(_used(file.tensors))))
    return {"format": "pt", "config": config, "license": "CC BY-NC-SA 4.0"}


def _used(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    unused = tuple(f"modality_{part}.{tower}." for part in PARTS for tower in UNUSED)
    return {key: value for key, value in state.items() if not key.startswith(unused)}


def _config(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Constructor arguments read off the tensors' shapes; head counts, which leave no shape, are imagebind_huge's."""
    config: dict[str, object] = {"out_embed_dim": state["modality_heads.vision.2.weight"].shape[0]}
    for tower in TOWERS:
        blocks = {key.split(".")[3] for key in state if key.startswith(f"modality_trunks.{tower}.blocks.")}
        config[f"{tower}_num_blocks"] = len(blocks)
        config[f"{tower}_embed_dim"] = state[f"modality_trunks.{tower}.blocks.0.norm_1.weight"].shape[0]
    return config | {"vision_num_heads": 16, "text_num_heads": 16}
