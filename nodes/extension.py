"""The pack as ComfyUI sees it: its model folders and its nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

from .captions.caption_audio import CaptionAudio
from .captions.caption_image import CaptionImage
from .captions.describe import Describe
from .loaders import model_folders as folders
from .loaders.convert_imagebind import ConvertImageBind
from .loaders.load_models import LoadAnimateDiff, LoadAudioLDM, LoadImageBind, LoadPeAv
from .measure.compare import Compare
from .measure.pick_best import PickBestSound, PickBestVideo
from .measure.plot_alignment import PlotAlignment
from .measure.score import ScoreFit
from .media.event_times import EventTimes
from .media.key_frames import KeyFrames
from .media.mux_audio import MuxAudioIntoVideo
from .native.align_model import AlignModel
from .native.alignment_report import AlignmentReport
from .native.empty_audio_latent import EmptyAudioLatentForVideo
from .tasks.align_settings import AlignSettingsNode
from .tasks.align_target import AlignTargetNode
from .tasks.audio_to_video import AudioToVideo
from .tasks.image_to_audio import ImageToAudio
from .tasks.video_and_audio import VideoAndAudio
from .tasks.video_to_audio import VideoToAudio


class SeeingHearing(ComfyExtension):
    @override
    async def on_load(self) -> None:
        folders.register()

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadAudioLDM,
            LoadAnimateDiff,
            LoadImageBind,
            LoadPeAv,
            VideoToAudio,
            ImageToAudio,
            AudioToVideo,
            VideoAndAudio,
            AlignSettingsNode,
            AlignTargetNode,
            AlignModel,
            AlignmentReport,
            EmptyAudioLatentForVideo,
            EventTimes,
            KeyFrames,
            MuxAudioIntoVideo,
            ScoreFit,
            PlotAlignment,
            PickBestSound,
            PickBestVideo,
            Compare,
            CaptionImage,
            CaptionAudio,
            Describe,
            ConvertImageBind,
        ]
