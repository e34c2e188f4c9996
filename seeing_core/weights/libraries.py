"""Parts of models through their libraries' own loaders, strictly and from this machine only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .checking import OLD_BUFFERS, check_finite, check_size, load_strict, raise_mismatch
from .files import PICKLES, UNREADABLE, check_folder_files, first_line

WEIGHTS = (".safetensors", *PICKLES)


def check_folder(what: str, folder: Path, parts: Sequence[str]) -> None:
    """Raises InputError naming the parts that a diffusers folder lacks."""
    absent = [part for part in parts if not (folder / part).is_dir()]
    if absent:
        raise InputError(what, f"folder '{folder}' without {', '.join(absent)}", "a diffusers folder with " + ", ".join(parts))


def read_part(what: str, folder: Path, reader: Callable[..., Any]) -> Any:
    """A tokenizer or a scheduler. Raises InputError when its files cannot be read."""
    try:
        return reader(folder, local_files_only=True)
    except UNREADABLE as error:
        raise InputError(
            what, f"files that cannot be read ({first_line(error)})", f"the original files in '{folder}'"
        ) from error


def load_part(cls: type, folder: Path, what: str, dtype: torch.dtype) -> nn.Module:
    """One component of a diffusers folder. Where only half-precision copies lie (`*.fp16.*`), those are taken."""
    where = f"{what} part '{folder}'"
    if not (folder / "config.json").is_file():  # transformers would go on with its own default sizes
        raise InputError(where, "a folder without config.json", "a whole diffusers folder", "Download it again.")
    check_folder_files(where, folder)
    files = [path for path in folder.iterdir() if path.suffix in WEIGHTS]
    # Each library keeps a missing key's random start silently; its loading report is what makes the load strict.
    options: dict[str, Any] = {"output_loading_info": True, "local_files_only": True, "ignore_mismatched_sizes": True}
    if files and all(".fp16." in path.name for path in files):
        options["variant"] = "fp16"
    if cls.__module__.startswith("diffusers"):
        options["low_cpu_mem_usage"] = False
    try:
        check_size(where, on_meta(cls, config_of(cls, folder)), sum(path.stat().st_size for path in files))
        model, report = cls.from_pretrained(folder, **options)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(
            where, f"a file that cannot be read ({first_line(error)})", "an undamaged checkpoint", "Download it again."
        ) from error
    unexpected = [key for key in report["unexpected_keys"] if not key.endswith(OLD_BUFFERS)]
    raise_mismatch(where, report["missing_keys"], unexpected, report["mismatched_keys"])
    check_finite(where, model.state_dict())
    return nn.Module.to(model, dtype)  # the libraries' own warns of exceptions that these classes do not have


def config_of(cls: type, folder: Path) -> Any:
    """The configuration that lies in a component's folder."""
    if cls.__module__.startswith("diffusers"):
        return cls.load_config(folder, local_files_only=True)
    return cls.config_class.from_pretrained(folder, local_files_only=True)


def on_meta(cls: type, config: Any) -> nn.Module:
    """A component of this configuration without any memory for its weights."""
    with torch.device("meta"):
        return cls.from_config(config) if isinstance(config, dict) else cls(config)


def converted_diffusers(
    where: str, cls: type, config: dict[str, Any], state: Mapping[str, Tensor], dtype: torch.dtype
) -> nn.Module:
    """A diffusers model from weights already under diffusers' names. Raises InputError when they do not fit."""
    return load_strict(where, on_meta(cls, config), state, dtype)


def converted_transformers(where: str, cls: type, config: Any, state: Mapping[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """Likewise for transformers, whose own loader knows which names have changed between its releases."""
    check_finite(where, state)
    model, report = cls.from_pretrained(
        None, config=config, state_dict=dict(state), output_loading_info=True, ignore_mismatched_sizes=True
    )
    unexpected = [key for key in report["unexpected_keys"] if not key.endswith(OLD_BUFFERS)]
    missing = [key for key in report["missing_keys"] if not key.endswith(OLD_BUFFERS)]
    raise_mismatch(where, missing, unexpected, report["mismatched_keys"])
    return nn.Module.to(model, dtype)  # the libraries' own warns of exceptions that these classes do not have
