"""Between ComfyUI's types and the core's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from comfy_api.latest import Input, InputImpl
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.guidance.trace import Trace
from ...seeing_core.media.audio_file import audio_track
from ...seeing_core.media.types import VideoFrames, Waveform
from ...seeing_core.media.video_file import VideoFile


def video_from(media: Input.Video | Tensor, fps: float) -> VideoFile | VideoFrames:
    """A VIDEO or an IMAGE batch (B, H, W, 3 or 4) as a video; `fps` is used for images only.

    A video that is a file stays on disk. Raises InputError on NaN, on a wrong shape and on a bad fps.
    """
    if isinstance(media, Tensor):
        return _frames(media, fps)
    if type(media) is InputImpl.VideoFromFile:
        file = VideoFile(media.get_stream_source(), *media.get_active_trim_window())
        # What is cropped shows another picture than its file; what is turned has its sides the other way round.
        if sorted(media.get_dimensions()) == sorted(file.stored_size):
            return file
    components = media.get_components()
    return _frames(components.images, float(components.frame_rate))


def images_from(images: Tensor) -> Tensor:
    """An IMAGE batch (B, H, W, 1, 3 or 4) as (B, 3, H, W); grey becomes three channels, alpha is left out.

    Raises InputError on NaN and a wrong shape.
    """
    return _frames(images, fps=1.0).pixels


def _frames(images: Tensor, fps: float) -> VideoFrames:
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4):
        raise InputError("images", f"a tensor of shape {tuple(images.shape)}", "(batch, height, width, 3)")
    # A copy: ComfyUI's tensors were made in inference mode and cannot take part in autograd.
    pixels = images[..., :3].movedim(-1, 1).detach().to("cpu", torch.float32, copy=True)
    frames = VideoFrames(pixels.expand(-1, 3, -1, -1), fps)  # which refuses what is not finite
    return VideoFrames(frames.pixels.clamp(0, 1), fps)


def waveform_from(audio: Mapping[str, Any] | None) -> Waveform:
    """The first waveform of an AUDIO, which may be any mapping: some packs load it on first access.

    Raises InputError when there is none, or it is empty or not finite.
    """
    if audio is None:
        raise InputError("audio", "nothing", "a sound", "The video it was taken from may have no sound track.")
    if not isinstance(audio, Mapping) or not {"waveform", "sample_rate"} <= set(audio):
        raise InputError("audio", f"a {type(audio).__name__}", "a sound, with 'waveform' and 'sample_rate'")
    waveform = audio["waveform"]
    if waveform.ndim != 3 or len(waveform) == 0:
        raise InputError("audio", f"a tensor of shape {tuple(waveform.shape)}", "(batch, channels, samples)")
    return Waveform(waveform[0].detach().to("cpu", torch.float32, copy=True), int(audio["sample_rate"]))


def own_track(media: Input.Video | Tensor, video: VideoFile | VideoFrames, *, mono: bool = False) -> Waveform | None:
    """A video's own sound from its first frame on; None for images and for a silent video.

    mono: of a file, the mean of its channels; else one or two channels.
    """
    if isinstance(media, Tensor):
        return None
    if isinstance(video, VideoFile):
        return audio_track(video, mono=mono)
    audio = media.get_components().audio
    return None if audio is None else waveform_from(audio)


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
