"""For tests that run the nodes in a process of their own, without a server: ComfyUI's modules and the pack in it.

Arguments of such a script: ComfyUI's folder, the pack's folder, a base folder for models. What it finds it prints with `report`.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

MARK = "REPORT "
TOO_MUCH = 2**58  # bytes: no machine has them


def import_pack(options: Sequence[str] = ("--cpu",)) -> ModuleType:
    """To be called before anything of ComfyUI is imported.  options: of its command line."""
    comfyui, folder, base = sys.argv[1:4]
    sys.path.insert(0, comfyui)
    sys.argv = ["main.py", *options, "--base-directory", base]
    import comfy.options

    comfy.options.enable_args_parsing()
    spec = importlib.util.spec_from_file_location(
        "pack", str(Path(folder) / "__init__.py"), submodule_search_locations=[folder]
    )
    pack = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = pack
    spec.loader.exec_module(pack)
    return pack


async def nodes_of(pack: ModuleType) -> dict[str, Any]:
    """The pack's node classes by name."""
    extension = await pack.comfy_entrypoint()
    await extension.on_load()
    return {node.__name__: node for node in await extension.get_node_list()}


def report(found: dict[str, Any]) -> None:
    print(MARK + json.dumps(found))


def run_script(name: str, comfyui: Path, root: Path, base: Path, *more: str, **options: Any) -> dict[str, Any]:
    """Runs a script of this folder and returns what it reported.  more: further arguments of its own."""
    command = [sys.executable, str(Path(__file__).parent / name), str(comfyui), str(root), str(base), *more]
    result = subprocess.run(command, capture_output=True, text=True, cwd=base, **options)
    lines = [line for line in result.stdout.splitlines() if line.startswith(MARK)]
    assert lines, result.stdout[-2000:] + result.stderr[-4000:]
    return json.loads(lines[0].removeprefix(MARK))
