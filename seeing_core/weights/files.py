"""Weight files, read without running code from them: safetensors, or a pickle that holds tensors and plain values only."""

from __future__ import annotations

import _codecs
import json
import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
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
HARMLESS = ("torch", "collections", "numpy", "_codecs", "pytorch_lightning")
LISTED = 3


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
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return WeightFile(path, {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {})
        state = _unpickled(where, path)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(
            where,
            f"a file that cannot be read safely ({first_line(error)})",
            "an undamaged weight file that holds tensors only",
            "Download it again.",
        ) from error
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
            _check_pickle(f"{where}, file '{path}'", path)
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


def _unpickled(where: str, path: Path) -> Any:
    _check_pickle(where, path)
    with torch.serialization.safe_globals(LEFTOVERS):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _check_pickle(where: str, path: Path) -> None:
    """Raises InputError for names of code other than tensors' own, and for archives that unpack to more than they are."""
    try:
        packed = _packed(path)
        foreign = sorted({name for name in _globals(path) if name.split(".")[0] not in HARMLESS})
    except UNREADABLE as error:
        raise InputError(
            where,
            f"a file that cannot be read safely ({first_line(error)})",
            "an undamaged weight file that holds tensors only",
            "Download it again.",
        ) from error
    if packed:
        raise InputError(where, "a compressed archive, which may unpack to any size", "a weight file as PyTorch writes it")
    if foreign:
        raise InputError(
            where,
            f"a file that cannot be read safely: it wants to run code ({some(foreign)})",
            "an undamaged weight file that holds tensors only",
            "Do not use this file; look for a .safetensors of the same model.",
        )


def _packed(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    return any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)


def _globals(path: Path) -> Iterator[str]:
    """The full names of all classes and functions that a pickle would use, found without running it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            streams = [archive.open(name).read() for name in archive.namelist() if name.endswith(".pkl")]
    else:
        streams = [path.open("rb")]
    for stream in streams:
        words: list[str] = []
        memory: dict[int, str] = {}
        for code, argument, _ in _operations(stream):
            if code in ("GLOBAL", "INST"):
                yield str(argument).replace(" ", ".")
            elif code == "STACK_GLOBAL":
                yield ".".join(words[-2:])
            elif "GET" in code:
                words.append(memory.get(argument, "?"))
            elif code == "MEMOIZE" or "PUT" in code:
                memory[len(memory) if argument is None else argument] = words[-1] if words else "?"
            elif isinstance(argument, str):
                words.append(argument)


def _operations(stream: Any) -> Iterator[tuple[str, Any, int | None]]:
    """The operations of one pickle, or of the several one after another that PyTorch wrote before its version 1.6."""
    if isinstance(stream, bytes):
        yield from ((code.name, argument, at) for code, argument, at in pickletools.genops(stream))
        return
    with stream:
        for _ in range(4):  # magic number, protocol, system, the object itself; raw storages follow
            yield from ((code.name, argument, at) for code, argument, at in pickletools.genops(stream))
            if not stream.peek(1).startswith(b"\x80"):
                return


def first_line(error: BaseException) -> str:
    """What went wrong, without PyTorch's advice to load the file unsafely."""
    text = str(error)
    text = text.partition("WeightsUnpickler error:")[2] or text
    return (text.strip() or type(error).__name__).splitlines()[0]


def some(names: list[str], listed: int = LISTED) -> str:
    """The first few names, and how many more there are."""
    rest = f" and {len(names) - listed} more" if len(names) > listed else ""
    return ", ".join(names[:listed]) + rest
