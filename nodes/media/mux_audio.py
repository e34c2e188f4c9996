"""Mux Audio into Video: the video with its new sound, the picture untouched."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import Input, InputImpl, io
from torch import Tensor

from ...seeing_core.media.mux import FITS, mux
from ..comfy.convert import video_from, waveform_from
from ..comfy.players import temporary_video
from ..sockets import CATEGORY
from ..tasks.inputs import fps_of_images


class MuxAudioIntoVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_MuxAudio",
            display_name="Mux Audio into Video",
            category=CATEGORY,
            description="Gives a video a new sound track. The picture of a video file is copied bit for bit where its "
            "format allows; the sound is stored as AAC. Save the result with Save Video.",
            search_aliases=["add audio to video", "replace sound", "combine audio video", "merge audio", "soundtrack"],
            inputs=[
                io.MultiType.Input(
                    "video",
                    types=[io.Video, io.Image],
                    tooltip="The video, or a batch of images (set fps as well). Its own sound, if any, is replaced.",
                ),
                io.Audio.Input("audio", tooltip="The new sound. Of a batch, only the first is used."),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default=FITS[0],
                    tooltip="When the lengths differ. 'fit to picture': the sound is cut, or silence is added, at its "
                    "end. 'trim to shorter': the longer one is cut; a picture that is cut has to be encoded again.",
                ),
                fps_of_images(),
            ],
            outputs=[io.Video.Output("video", tooltip="The video with its new sound, for Save Video.")],
        )

    @classmethod
    def execute(cls, video: Input.Video | Tensor, audio: dict[str, Any], fit: str, fps: float) -> io.NodeOutput:
        path = mux(video_from(video, fps), waveform_from(audio), temporary_video(), fit=fit)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))
