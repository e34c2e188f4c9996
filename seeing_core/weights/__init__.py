"""Checkpoints from disk: only the files named, every name and shape accounted for, no code run from a weight file."""

from .animatediff import load_animatediff
from .audioldm import load_audioldm
from .imagebind import convert_imagebind, load_imagebind
from .lora import Lora

__all__ = ["Lora", "convert_imagebind", "load_animatediff", "load_audioldm", "load_imagebind"]
