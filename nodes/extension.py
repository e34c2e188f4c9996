"""The pack as ComfyUI sees it: its model folders and its nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

from . import folders
from .align_settings import AlignSettingsNode
from .align_target import AlignTarget
from .audio_to_video import AudioToVideo
from .caption_audio import CaptionAudio
from .caption_image import CaptionImage
from .compare import Compare
from .convert_imagebind import ConvertImageBind
from .describe import DescribeWithImageBind
from .image_to_audio import ImageToAudio
from .key_frames import KeyFrames
from .load_models import LoadAnimateDiff, LoadAudioLDM, LoadImageBind
from .mux_audio import MuxAudioIntoVideo
from .pick_best import PickBestSound, PickBestVideo
from .plot_alignment import PlotAlignment
from .score import ScoreFit
from .video_and_audio import VideoAndAudio
from .video_to_audio import VideoToAudio


class SeeingHearing(ComfyExtension):
    @override
    async def on_load(self) -> None:
        folders.register()

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadAudioLDM, LoadAnimateDiff, LoadImageBind, VideoToAudio, ImageToAudio, AudioToVideo, VideoAndAudio,
            AlignSettingsNode, AlignTarget, KeyFrames, MuxAudioIntoVideo,
            ScoreFit, PlotAlignment, PickBestSound, PickBestVideo, Compare,
            CaptionImage, CaptionAudio, DescribeWithImageBind, ConvertImageBind,
        ]
