"""The core stays light to import, free of ComfyUI, and readable by Python 3.10; its tests run together where they must."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "seeing_core").rglob("*.py"))
HEAVY = {"diffusers", "transformers", "imagebind", "torchaudio", "pytorchvideo"}
COMFYUI = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "nodes", "server"}


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of all absolute imports."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_core_files_parse_under_python_3_10_and_do_not_know_comfyui(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    assert not imported(tree) & COMFYUI


def test_importing_the_core_loads_nothing_heavy() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in FILES
        if not {"pocket", "metrics", "__init__.py"} & set(path.relative_to(ROOT).parts)
    ]
    assert "seeing_core.tasks" in modules and "seeing_core.weights.imagebind" in modules
    code = f"import sys, {', '.join(modules)}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_the_root_is_not_imported_under_its_folders_name() -> None:
    assert ROOT.name not in sys.modules


def test_both_lists_of_requirements_are_the_same() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    listed = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("dependencies = [")[1].split("\n]")[0]
    assert [line.strip().rstrip(",")[1:-1] for line in listed.splitlines() if line.strip()] == wanted


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process has all tests")
@pytest.mark.xdist_group("alone")
def test_tests_that_share_something_dear_stay_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist tells a group by a test's name; where it cannot change the name it scatters the group and says nothing."""
    assert request.node.nodeid.endswith("@alone")
