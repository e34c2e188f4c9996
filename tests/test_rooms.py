"""The rooms of the core know only what they need: read from the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parent.parent / "seeing_core"
FAMILIES = {"generators.audioldm", "generators.animatediff", "binders.imagebind"}
FORBIDDEN = {  # room: what none of its files may import
    "guidance": {*FAMILIES, "captions", "weights", "evaluate", "visuals", "tasks", "run", "candidates", "metrics"},
    "generators": {"guidance", "binders", "captions", "weights", "evaluate", "visuals", "tasks", "run", "metrics"},
    "binders": {"guidance", "generators", "captions", "weights", "evaluate", "visuals", "tasks", "run", "metrics"},
    "media": {"guidance", "generators", "binders", "captions", "weights", "evaluate", "visuals", "tasks", "run", "metrics"},
    "metrics": {"guidance", "generators", "captions", "weights", "evaluate", "visuals", "tasks", "run"},
    "batch": {"evaluate", "captions"},
    "weights": {"guidance", "captions", "evaluate", "visuals", "tasks", "run", "metrics"},
    "tasks.py": {*FAMILIES, "captions", "weights", "evaluate", "visuals", "candidates"},
    "run.py": {*FAMILIES, "captions", "weights", "evaluate", "visuals", "candidates", "tasks"},
}


def imports(path: Path) -> set[str]:
    """Modules of the core that a file imports, anywhere in it, from the core's root: "guidance.loop"."""
    package = path.relative_to(CORE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)]
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names)}
    return found - {""}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_does_not_reach_into_another(room: str) -> None:
    files = [CORE / room] if room.endswith(".py") else sorted((CORE / room).rglob("*.py"))
    assert files
    for path in files:
        wrong = {name for name in imports(path) for other in FORBIDDEN[room] if name == other or name.startswith(other + ".")}
        assert not wrong, (path.name, wrong)


def test_imports_are_seen() -> None:
    assert {"guidance.settings", "tasks"} <= imports(CORE / "__init__.py")
    assert "generators.base" in imports(CORE / "guidance" / "loop.py")
    assert "generators.audioldm" in imports(CORE / "weights" / "audioldm.py")


def test_nothing_that_ships_imports_the_world_of_the_tests() -> None:
    for path in [*CORE.rglob("*.py"), *(CORE.parent / "nodes").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert "tests.pocket" not in text and "from tests" not in text, path
