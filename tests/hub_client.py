"""What a process that downloads does, for tests: huggingface_hub reads its environment once, when it is imported."""

from __future__ import annotations

from pathlib import Path

from seeing_core.errors import InputError
from seeing_core.weights.catalog import RemoteModel
from seeing_core.weights.download import fetch


class Cancelled(BaseException):
    """Like ComfyUI's own: no Exception."""


def fetched(model: RemoteModel, folder: Path, cancel_at: int | None = None) -> tuple[str, list[tuple[int, int]]]:
    """The path, or the error's text, or "cancelled"; and what was told on the way."""
    progress: list[tuple[int, int]] = []

    def listen(done: int, total: int) -> None:
        progress.append((done, total))
        if cancel_at is not None and done >= cancel_at:
            raise Cancelled

    try:
        return str(fetch(model, folder, listen)), progress
    except InputError as error:
        return str(error), progress
    except Cancelled:
        return "cancelled", progress
