"""Key Frames: the frames that best stand for a clip."""

from __future__ import annotations

import torch
from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.media.key_frames import key_frames
from ..comfy.convert import video_from
from ..sockets import CATEGORY


class KeyFrames(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_KeyFrames",
            display_name="Key Frames",
            category=CATEGORY,
            description="Picks the few frames that best stand for a video: sharp ones, each unlike the others.",
            search_aliases=["best frame", "thumbnail", "representative frame", "scene frames"],
            inputs=[
                io.MultiType.Input("video", types=[io.Video, io.Image], tooltip="A video, or a batch of images."),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="How many frames. A video with fewer gives all it has.",
                ),
            ],
            outputs=[io.Image.Output("images", tooltip="The frames, in the order in which they appear.")],
        )

    @classmethod
    def execute(cls, video: Input.Video | Tensor, count: int) -> io.NodeOutput:
        source = video_from(video, fps=1.0)
        frames = torch.stack(list(source.frames(key_frames(source, count))))
        return io.NodeOutput(frames.movedim(1, -1).contiguous())
