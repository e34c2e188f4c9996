"""What a node shows when it has finished: its sound, film or picture, played on the node itself.

The files lie in ComfyUI's temporary folder, which it empties when it starts. A node that shows one has
`has_intermediate_output=True` in its schema, so that ComfyUI sends it again when the result comes from the cache.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io, ui
from torch import Tensor

from ...seeing_core.media.types import Video, Waveform
from ...seeing_core.media.mux import mux


def temporary_video() -> Path:
    """The path of a new mp4 file in ComfyUI's temporary folder."""
    folder = folder_paths.get_temp_directory()
    os.makedirs(folder, exist_ok=True)
    return Path(folder) / f"seeing_hearing_{uuid.uuid4().hex}.mp4"


def player(*paths: Path) -> dict[str, list[ui.SavedResult]]:
    """Files of the temporary folder; web/players.js puts a player for each on the node."""
    return {"player": [ui.SavedResult(path.name, "", io.FolderType.temp) for path in paths]}


def audio_player(audio: dict[str, Any]) -> dict[str, list[ui.SavedResult]]:
    """The sounds of an AUDIO."""
    return {"player": ui.PreviewAudio(audio).values}


def video_player(videos: Sequence[Video], waveforms: Sequence[Waveform]) -> dict[str, list[ui.SavedResult]]:
    """Films, each with its sound."""
    return player(*(mux(video, sound, temporary_video()) for video, sound in zip(videos, waveforms, strict=True)))


def picture(image: Tensor) -> ui.PreviewImage:
    """An IMAGE batch (B, H, W, 3)."""
    return ui.PreviewImage(image)
