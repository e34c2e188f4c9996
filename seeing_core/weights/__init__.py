"""Checkpoints from disk: only the files named, every name and shape accounted for, no code run from a weight file."""

from __future__ import annotations

from pathlib import Path

import torch

from ..binders.base import Binder
from .animatediff import load_animatediff
from .audioldm import load_audioldm
from .imagebind import convert_imagebind, load_imagebind
from .lora import Lora
from .pe_av import load_pe_av

__all__ = ["Lora", "convert_imagebind", "load_animatediff", "load_audioldm", "load_binder", "load_imagebind", "load_pe_av"]


def load_binder(path: Path | str, *, dtype: torch.dtype = torch.float32) -> Binder:
    """A folder holds a PE-AV, a file an ImageBind. Raises InputError when it does not."""
    return (load_pe_av if Path(path).is_dir() else load_imagebind)(path, dtype=dtype)
