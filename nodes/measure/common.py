"""What the nodes that measure share: their common inputs, a video's own sound, the binder on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.media.types import VideoFrames, Waveform
from ...seeing_core.media.video_file import VideoFile
from ...seeing_core.metrics.motion import FLOW_SIDE
from ..comfy.convert import own_track, waveform_from
from ..comfy.memory import ModelHandle, enable_autograd, on_device
from ..sockets import Binder

EMBED_BYTES = 2**30  # the binder over the segments of a video, without gradients, rounded up


def binder_input() -> io.Input:
    return Binder.Input(
        "binder",
        optional=True,
        tooltip="From Load ImageBind or Load PE-AV; optional. With it the similarity of sound and picture is measured as well. "
        "Guidance raises exactly what its own binder measures, so judge with the other one where you can.",
    )


def prompt_input() -> io.Input:
    return io.String.Input(
        "prompt",
        multiline=True,
        default="",
        advanced=True,
        tooltip="A sentence to compare sound and picture with. Needs a binder; optional.",
    )


def flow_size_input() -> io.Input:
    return io.Int.Input(
        "flow_size",
        default=FLOW_SIDE,
        min=0,
        max=4096,
        advanced=True,
        tooltip="Motion is measured on frames whose short side is reduced to this many pixels. 0: the video's own "
        "size, as the paper's code does; much slower.",
    )


def first_of_each(inputs: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What a node with `is_input_list` got by the sockets that take one thing."""
    return {name: values[0] for name, values in inputs.items()}


def all_candidates(sockets: Mapping[str, Sequence[Any]]) -> list[Any]:
    """What a node with `is_input_list` got by a growing row of sockets, each of which may have brought a list."""
    return [one for values in sockets.values() for one in values]


def sounds_from(audio: dict[str, Any] | None) -> list[Waveform]:
    """Every sound of an AUDIO batch. Raises InputError when there is none."""
    waveform_from(audio)
    return [waveform_from({**audio, "waveform": audio["waveform"][i : i + 1]}) for i in range(len(audio["waveform"]))]


def own_sound(media: Input.Video | Tensor, video: VideoFile | VideoFrames) -> Waveform:
    """The sound track of a VIDEO, from its first frame on. Raises InputError when it has none, and for images."""
    if isinstance(media, Tensor):
        raise InputError("audio", "nothing", "a sound", "Images carry no sound: connect one.")
    sound = own_track(media, video, mono=True)
    if sound is None:
        raise InputError("audio", "nothing, and the video has no sound track of its own", "a sound", "Connect one.")
    return sound


def measuring(binder: ModelHandle | None) -> AbstractContextManager[None]:
    """The binder, if any, on the compute device while something is measured."""
    return enable_autograd() if binder is None else on_device(binder, activations_bytes=EMBED_BYTES)


def as_image(plot: Tensor) -> Tensor:
    """A plot (H, W, 3) as an IMAGE batch of one."""
    return torch.clone(plot)[None]
