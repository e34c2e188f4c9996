"""The pack as ComfyUI imports it: one package under a name of its own, so that `nodes` never meets ComfyUI's."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
NAME = "seeing_hearing_pack"


def pack() -> ModuleType:
    """The pack's root module."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
        module = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = module
        spec.loader.exec_module(module)
    return sys.modules[NAME]


def core(name: str) -> ModuleType:
    """`seeing_core.<name>` of the pack."""
    pack()
    return importlib.import_module(f"{NAME}.seeing_core.{name}")
