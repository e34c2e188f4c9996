"""The `imagebind` package's model classes, without running its `__init__` (which needs removed third-party modules)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from ..errors import InputError

PACKAGE = "imagebind"


def imagebind_module(name: str) -> ModuleType:
    """The submodule `imagebind.<name>`.

    A bare package object with the right search path stands in for the package itself, so that Python's own import
    finds the submodules but never executes `imagebind/__init__.py`.
    Raises InputError when the package is not installed.
    """
    if PACKAGE not in sys.modules:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                "ImageBind",
                "no package 'imagebind'",
                "the package that this node pack's requirements.txt names",
                "Run: pip install imagebind-unofficial",
            )
        package = ModuleType(PACKAGE)
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules[PACKAGE] = package
    return importlib.import_module(f"{PACKAGE}.{name}")


def tokenizer() -> Any:
    """ImageBind's text tokenizer (CLIP's byte-pair encoding, 77 tokens)."""
    preprocessors = imagebind_module("models.multimodal_preprocessors")
    folder = sys.modules[PACKAGE].__path__[0]
    return preprocessors.SimpleTokenizer(bpe_path=f"{folder}/bpe/bpe_simple_vocab_16e6.txt.gz")
