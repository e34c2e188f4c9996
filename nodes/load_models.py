"""Load AudioLDM, Load ImageBind."""

from __future__ import annotations

from comfy_api.latest import io

from . import folders
from .managed import Managed
from .types import CATEGORY, AudioModel, Binder, VideoModel

POCKET_TIP = (
    "'pocket (built in)' is a small demonstration model that ships with the pack and needs no download: it knows a toy "
    "world of a few bouncing and humming things. "
)


class LoadAudioLDM(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_LoadAudioLDM",
            display_name="Load AudioLDM",
            category=CATEGORY + "/loaders",
            description="Loads AudioLDM, the model that makes the sound.",
            search_aliases=["audio model", "sound model", "text to audio", "foley model"],
            inputs=[
                io.Combo.Input(
                    "model", options=folders.audioldm_choices(), default=folders.POCKET,
                    tooltip=POCKET_TIP + "Others are the diffusers folders found in models/audioldm and "
                    "models/diffusers, e.g. cvssp/audioldm-s-full-v2 (weights: CC BY-NC-SA 4.0, not for commercial use).",
                ),
            ],
            outputs=[AudioModel.Output("audio_model", tooltip="AudioLDM, for the nodes that make sound.")],
        )

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        from ..seeing_core.weights import load_audioldm

        return io.NodeOutput(Managed.load(lambda: load_audioldm(folders.audioldm_folder(model))))


class LoadAnimateDiff(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_LoadAnimateDiff",
            display_name="Load AnimateDiff",
            category=CATEGORY + "/loaders",
            description="Loads Stable Diffusion 1.5 with an AnimateDiff motion module, the model that makes the frames.",
            search_aliases=["video model", "animatediff", "motion module", "text to video"],
            inputs=[
                io.Combo.Input(
                    "base", options=folders.base_choices(), default=folders.POCKET,
                    tooltip=POCKET_TIP + "Others are the Stable Diffusion 1.5 diffusers folders found in models/diffusers.",
                ),
                io.Combo.Input(
                    "motion", options=folders.motion_choices(), default=folders.POCKET,
                    tooltip="The motion module, which must be made for the base. Others than the built-in one are the "
                    "diffusers folders found in models/animatediff_models, e.g. guoyww/animatediff-motion-adapter-v1-5-2.",
                ),
            ],
            outputs=[VideoModel.Output("video_model", tooltip="AnimateDiff, for the nodes that make frames.")],
        )

    @classmethod
    def execute(cls, base: str, motion: str) -> io.NodeOutput:
        from ..seeing_core.weights import load_animatediff

        return io.NodeOutput(Managed.load(
            lambda: load_animatediff(folders.base_folder(base), folders.motion_folder(motion))
        ))


class LoadImageBind(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_LoadImageBind",
            display_name="Load ImageBind",
            category=CATEGORY + "/loaders",
            description="Loads ImageBind, which tells how well a picture, a sound and a sentence fit each other.",
            search_aliases=["binder", "audio visual embedding", "imagebind"],
            inputs=[
                io.Combo.Input(
                    "model", options=folders.imagebind_choices(), default=folders.POCKET,
                    tooltip=POCKET_TIP + "Others are the .pth and .safetensors files found in models/imagebind, e.g. "
                    "imagebind_huge.pth (weights: CC BY-NC-SA 4.0, not for commercial use).",
                ),
            ],
            outputs=[Binder.Output("binder", tooltip="ImageBind, for the nodes that align sound and picture.")],
        )

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        from ..seeing_core.weights import load_imagebind

        return io.NodeOutput(Managed.load(lambda: load_imagebind(folders.imagebind_file(model))))
