"""Align Target: one more thing that the output should fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.guidance.targets import AlignTarget, Images
from ..comfy.convert import images_from, video_from, waveform_from
from ..sockets import CATEGORY, Targets


class AlignTargetNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_AlignTarget",
            display_name="Align Target",
            category=CATEGORY,
            description="One more thing that the output should fit: 'it should also sound like this'. Chain several "
            "and connect the last one to the targets input of a task node.",
            search_aliases=["reference sound", "style target", "timbre", "mood", "guide by example"],
            inputs=[
                io.MultiType.Input(
                    "media",
                    types=[io.Audio, io.Image, io.Video],
                    optional=True,
                    tooltip="A reference sound, one or several images, or a video. When it is connected, the text is not used.",
                ),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    tooltip="A few English words, used when no media is connected: 'bright and metallic'.",
                ),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.05,
                    tooltip="Weight of this target relative to the others. 0 leaves it out.",
                ),
                Targets.Input("targets", optional=True, tooltip="The chain so far, from another Align Target."),
            ],
            outputs=[Targets.Output("targets", tooltip="The chain with this target added.")],
        )

    @classmethod
    def execute(
        cls,
        text: str,
        weight: float,
        media: dict[str, Any] | Input.Video | Tensor | None = None,
        targets: tuple[AlignTarget, ...] = (),
    ) -> io.NodeOutput:
        return io.NodeOutput((*targets, AlignTarget(_core_media(media, text), weight)))


def _core_media(media: dict[str, Any] | Input.Video | Tensor | None, text: str) -> Any:
    if media is None:
        if not text.strip():
            raise InputError("target", "neither media nor text", "a sound, images, a video, or some words")
        return text
    if isinstance(media, Mapping):
        return waveform_from(media)
    if isinstance(media, Tensor):
        return Images(images_from(media))
    return video_from(media, fps=1.0)
