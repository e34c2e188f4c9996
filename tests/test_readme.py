"""The README's list of messages is that of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Not reached from a node, or only with the command line of seeing_core.evaluate.
ELSEWHERE = {"pocket", "evaluate", "frechet.py", "kernel_distance.py", "divergence.py", "published.py", "features.py",
             "av_align.py", "timing.py"}


def sources() -> Iterator[Path]:
    for path in [*(ROOT / "seeing_core").rglob("*.py"), *(ROOT / "nodes").glob("*.py")]:
        if not ELSEWHERE & set(path.relative_to(ROOT).parts):
            yield path


def named_in_code() -> set[str]:
    """What InputError and check_number are given as the name of the input; '...' for what is filled in."""
    names = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args and (
                    node.func.id in ("InputError", "check_number")):
                name = node.args[0]
                if isinstance(name, ast.Constant):
                    names.add(name.value)
                elif isinstance(name, ast.JoinedStr):
                    names.add("".join(part.value if isinstance(part, ast.Constant) else "..." for part in name.values))
    return names


def documented() -> set[str]:
    """The names of the inputs in the README's table of messages."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Troubleshooting")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {segment.partition(":")[0] for cell in cells for segment in re.findall(r"`([^`]+)`", cell)}


def test_every_message_is_in_the_troubleshooting() -> None:
    assert sorted(named_in_code() - documented()) == []
