"""Lists of phrases: what a binder can put into words."""

from __future__ import annotations

from pathlib import Path

PHRASES_FILE = Path(__file__).parent / "phrases.txt"


def read_phrases(text: str) -> list[str]:
    """One phrase a line; empty lines, lines that start with # and repeated phrases are left out."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def vocabulary_of(file: Path) -> list[str]:
    """A binder's own list, or the pack's where there is no such file."""
    return read_phrases(file.read_text(encoding="utf-8")) if file.is_file() else shipped_phrases()


def shipped_phrases() -> list[str]:
    """The pack's own list of everyday sounds and scenes."""
    return read_phrases(PHRASES_FILE.read_text(encoding="utf-8"))
