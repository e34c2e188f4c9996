"""Weight files, read without running code from them: safetensors, or a pickle that holds tensors and plain values only."""

from __future__ import annotations

import _codecs
import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import InputError

PICKLES = (".ckpt", ".pth", ".pt", ".bin")
SUFFIXES = (".safetensors", *PICKLES)
UNREADABLE = (
    SafetensorError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
MAX_LISTED = 3


class _Forgotten:
    """Stands in for a training callback: takes part in nothing."""


def _no_value(*_: object) -> None:
    """Stands in for a number of the training state."""


# What training frameworks leave in checkpoints beside the tensors; none of it is used, none of it runs foreign code.
LEFTOVERS: list[Any] = [
    (_Forgotten, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
    (_no_value, "numpy.core.multiarray.scalar"),
    (_no_value, "numpy._core.multiarray.scalar"),
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
    _codecs.encode,
]


@dataclass(frozen=True)
class WeightFile:
    """An opened weight file.  tensors: by name, mapped from the disk and read when used.  metadata: text beside them."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_tensors(path: Path | str) -> WeightFile:
    """Opens `.safetensors`, or `.ckpt`, `.pth`, `.pt`, `.bin` without running code; a `state_dict` inside is unwrapped.

    Raises InputError if the file is absent, damaged, would run code, is packed to burst, or holds no tensors.
    """
    path = Path(path)
    where = f"file '{path}'"
    if not path.is_file():
        raise InputError(where, "no such file", "a weight file")
    if path.suffix not in SUFFIXES:
        raise InputError(where, f"a file of type '{path.suffix}'", "one of " + ", ".join(SUFFIXES))
    with _reading(where):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return WeightFile(path, {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {})
        state = _unpickled(where, path)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(where, "something else than a state dict", "names and tensors only")
    return WeightFile(path, {str(key).removeprefix("module."): value for key, value in state.items()}, {})


def check_folder_files(where: str, folder: Path) -> None:
    """Raises InputError unless the weight files of a model folder, which a library is to read, hold no code.

    Indices of split weights must name files of the folder itself.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLES:
            with _reading(f"{where}, file '{path}'"):
                _unpickled(f"{where}, file '{path}'", path, "meta")
        if path.name.endswith(".index.json") and _leads_out(path):
            raise InputError(
                f"{where}, file '{path}'",
                "names of files outside its folder",
                "plain file names",
                "Download the model again, from its author's page.",
            )


def _leads_out(index: Path) -> bool:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # the library that reads it says what is wrong
    return any(not isinstance(name, str) or "/" in name or "\\" in name or "\0" in name for name in names)


def _unpickled(where: str, path: Path, device: str = "cpu") -> Any:
    """What PyTorch's own reader makes of a pickle without running code.  device: "meta" reads no weights."""
    archive = zipfile.is_zipfile(path)
    if archive and _packed(path):
        raise InputError(where, "a compressed archive, which may unpack to any size", "a weight file as PyTorch writes it")
    with torch.serialization.safe_globals(LEFTOVERS):
        return torch.load(path, map_location=device, weights_only=True, mmap=archive and device == "cpu")


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Raises InputError for what a damaged file, or one that would run code, does to its reader."""
    try:
        yield
    except InputError:
        raise
    except UNREADABLE as error:
        code = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", str(error))
        raise InputError(
            where,
            f"a file that cannot be read safely ({f'it wants to run code: {code[1]}' if code else first_line(error)})",
            "an undamaged weight file that holds tensors only",
            "Do not use this file; look for a .safetensors of the same model."
            if isinstance(error, pickle.UnpicklingError)
            else "Download it again.",
        ) from error


def _packed(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    return any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)


def first_line(error: BaseException) -> str:
    """What went wrong, without PyTorch's advice to load the file unsafely."""
    text = str(error)
    text = text.partition("WeightsUnpickler error:")[2] or text
    return (text.strip() or type(error).__name__).splitlines()[0]


def abbreviate(names: list[str], listed: int = MAX_LISTED) -> str:
    """The first few names, and how many more there are."""
    rest = f" and {len(names) - listed} more" if len(names) > listed else ""
    return ", ".join(names[:listed]) + rest
