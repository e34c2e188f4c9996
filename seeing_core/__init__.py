"""The method of "Seeing and Hearing" (Xing et al., CVPR 2024, arXiv 2402.17723); knows nothing of ComfyUI.

The public face: the four tasks, what they are given and give, the settings with their presets, and the loaders of weights.
"""

from .guidance.settings import (
    AUDIO_PRESETS,
    JOINT_PRESETS,
    VIDEO_PRESETS,
    AlignSettings,
)
from .guidance.targets import AlignTarget, Images
from .tasks import (
    RunConfig,
    TaskResult,
    audio_to_video,
    image_to_audio,
    video_and_audio,
    video_to_audio,
)
from .weights import load_animatediff, load_audioldm, load_binder, load_imagebind, load_pe_av

__all__ = [
    "AUDIO_PRESETS",
    "JOINT_PRESETS",
    "VIDEO_PRESETS",
    "AlignSettings",
    "AlignTarget",
    "Images",
    "RunConfig",
    "TaskResult",
    "audio_to_video",
    "image_to_audio",
    "load_animatediff",
    "load_audioldm",
    "load_binder",
    "load_imagebind",
    "load_pe_av",
    "video_and_audio",
    "video_to_audio",
]
