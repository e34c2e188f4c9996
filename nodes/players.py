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

from ..seeing_core.media import Film, Waveform
from ..seeing_core.mux import mux


def temporary_film() -> Path:
    """The path of a new mp4 file in ComfyUI's temporary folder."""
    folder = folder_paths.get_temp_directory()
    os.makedirs(folder, exist_ok=True)
    return Path(folder) / f"seeing_hearing_{uuid.uuid4().hex}.mp4"


def sound_player(audio: dict[str, Any]) -> ui.PreviewAudio:
    """The sounds of an AUDIO; web/sound_player.js gives the node its player."""
    return ui.PreviewAudio(audio)


def film_player(films: Sequence[Film], sounds: Sequence[Waveform]) -> ui.PreviewVideo:
    """Films, each with its sound."""
    paths = [mux(film, sound, temporary_film()) for film, sound in zip(films, sounds, strict=True)]
    return ui.PreviewVideo([ui.SavedResult(path.name, "", io.FolderType.temp) for path in paths])


def picture(image: Tensor) -> ui.PreviewImage:
    """An IMAGE batch (B, H, W, 3)."""
    return ui.PreviewImage(image)
