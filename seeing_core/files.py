"""Files that appear whole or not at all, and how to tell that one has changed."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a text file; what an interrupted run leaves ends in `.part`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def remove_partial(folder: Path) -> None:
    """Removes what an interrupted run left half-written."""
    for partial in folder.rglob("*.part"):
        partial.unlink(missing_ok=True)


def state_of(path: Path | str) -> list[object]:
    """Where it is, its size and when it was changed."""
    status = os.stat(path)
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]
