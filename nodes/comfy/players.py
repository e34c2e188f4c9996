"""What a node shows when it has finished: its sound, video or picture, played on the node itself.

The files lie in ComfyUI's temporary folder, which it empties when it starts. A node that shows one has
`has_intermediate_output=True` in its schema, so that ComfyUI sends it again when the result comes from the cache, or is an output node.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui
from torch import Tensor

from ...seeing_core.media.mux import mux
from ...seeing_core.media.types import Video, Waveform
from .convert import audio_output


def temporary_video() -> Path:
    """The path of a new mp4 file in ComfyUI's temporary folder."""
    folder = folder_paths.get_temp_directory()
    os.makedirs(folder, exist_ok=True)
    return Path(folder) / f"seeing_hearing_{uuid.uuid4().hex}.mp4"


def player(*paths: Path) -> dict[str, list[ui.SavedResult]]:
    """Files of the temporary folder; web/players.js puts a player for each on the node."""
    return {"player": [ui.SavedResult(path.name, "", io.FolderType.temp) for path in paths]}


def audio_player(waveforms: Sequence[Waveform]) -> dict[str, list[ui.SavedResult]]:
    """A player for each."""
    return {"player": [result for waveform in waveforms for result in ui.PreviewAudio(audio_output(waveform)).values]}


def video_player(videos: Sequence[Video], waveforms: Sequence[Waveform]) -> dict[str, list[ui.SavedResult]]:
    """Videos, each with its sound."""
    return player(*(mux(video, waveform, temporary_video()) for video, waveform in zip(videos, waveforms, strict=True)))


def picture(image: Tensor) -> ui.PreviewImage:
    """An IMAGE batch (B, H, W, 3)."""
    return ui.PreviewImage(image)
