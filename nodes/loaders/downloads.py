"""Downloads as a user sees them: a bar on the node, a bar in the terminal, and Cancel."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management as management
import folder_paths
from comfy.utils import ProgressBar
from comfy_api.latest import io

from ...seeing_core.weights.catalog import RemoteModel

MB = 1_000_000


def download_if_missing() -> io.Input:
    """The switch that every loader of well-known models has, off by default."""
    return io.Boolean.Input(
        "download_if_missing",
        default=False,
        optional=True,
        advanced=True,
        tooltip="Fetches a well-known model that is not on this machine, from its authors' page, checked and resumable. "
        "Off: nothing is ever downloaded, and the error says where to get it. Mind the licence it names.",
    )


def fetch_here(wanted: RemoteModel, folder: Path) -> Path:
    """The model below `folder`, fetched now. Raises InputError when that fails; Cancel keeps what has come."""
    from ...seeing_core.weights.download import fetch

    bar = ProgressBar(max(1, wanted.size // MB))

    def callback(done: int, total: int) -> None:
        management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done // MB, max(1, total // MB))

    path = fetch(wanted, folder, callback)
    folder_paths.filename_list_cache.clear()
    return path
