"""Between ComfyUI's types and the core's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import Input, InputImpl
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.guidance.trace import Trace
from ...seeing_core.media.types import VideoFrames, Waveform
from ...seeing_core.media.video_file import VideoFile


def video_from(media: Input.Video | Tensor, fps: float) -> VideoFile | VideoFrames:
    """A VIDEO or an IMAGE batch (B, H, W, 3 or 4) as a video; `fps` is used for images only.

    A video that is a file stays on disk. Raises InputError on NaN, on a wrong shape and on a bad fps.
    """
    if isinstance(media, Tensor):
        return _frames(media, fps)
    if isinstance(media, InputImpl.VideoFromFile):
        return VideoFile(media.get_stream_source(), *media.get_active_trim_window())
    components = media.get_components()
    return _frames(components.images, float(components.frame_rate))


def images_from(images: Tensor) -> Tensor:
    """An IMAGE batch (B, H, W, 3 or 4) as (B, 3, H, W); alpha is left out. Raises InputError on NaN and a wrong shape."""
    return _frames(images, fps=1.0).pixels


def _frames(images: Tensor, fps: float) -> VideoFrames:
    if images.ndim != 4 or images.shape[-1] not in (3, 4):
        raise InputError("images", f"a tensor of shape {tuple(images.shape)}", "(batch, height, width, 3)")
    # A copy: ComfyUI's tensors were made in inference mode and cannot take part in autograd.
    return VideoFrames(images[..., :3].movedim(-1, 1).detach().clone(), fps)


def waveform_from(audio: dict[str, Any] | None) -> Waveform:
    """The first waveform of an AUDIO. Raises InputError when there is none, or it is empty or not finite."""
    if audio is None:
        raise InputError("audio", "nothing", "a sound", "The video it was taken from may have no sound track.")
    waveform = audio["waveform"]
    if waveform.ndim != 3 or len(waveform) == 0:
        raise InputError("audio", f"a tensor of shape {tuple(waveform.shape)}", "(batch, channels, samples)")
    return Waveform(waveform[0].detach().clone(), int(audio["sample_rate"]))


def audio_output(waveform: Waveform) -> dict[str, Any]:
    """An AUDIO."""
    return {"waveform": waveform.samples[None], "sample_rate": waveform.rate_hz}


def audio_outputs(waveforms: Sequence[Waveform]) -> list[dict[str, Any]]:
    """One AUDIO for each candidate."""
    return [audio_output(waveform) for waveform in waveforms]


def image_outputs(videos: Sequence[VideoFrames]) -> list[Tensor]:
    """The frames of each candidate, an IMAGE batch (B, H, W, 3) each."""
    return [video.pixels.movedim(1, -1).contiguous() for video in videos]


def log_notes(node: str, trace: Trace) -> None:
    """What the user should know of a run, in the server's log; it stands in the trace as well."""
    for note in trace.notes:
        logging.warning("%s: %s", node, note)
