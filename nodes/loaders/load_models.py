"""Load AudioLDM, Load AnimateDiff, and the binders: Load ImageBind, Load PE-AV."""

from __future__ import annotations

from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE
from comfy_api.latest import io

from ..comfy.memory import BinderHandle, ModelHandle, precision, weights_dtype
from ..native.own_models import NativeModel, native_parts
from ..sockets import CATEGORY, AudioModel, Binder, VideoModel
from . import model_folders as folders
from .downloads import download_if_missing
from .from_checkpoint import base_from_checkpoint

POCKET_TIP = (
    "'pocket (built in)' is a small demonstration model that ships with the pack and needs no download: it knows a toy "
    "world of a few bouncing and humming things. "
)
KNOWN_TIP = " Well-known names are listed as well; choosing one that is absent tells where to get it."


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
                    "model",
                    options=folders.choices(folders.AUDIOLDM),
                    default=folders.POCKET,
                    tooltip=POCKET_TIP + "Others are the diffusers folders found in models/audioldm and models/diffusers, "
                    "and the authors' single files in models/audioldm. AudioLDM's weights are CC BY-NC-SA 4.0, not for "
                    "commercial use." + KNOWN_TIP,
                ),
                download_if_missing(),
                precision("VAE and vocoder stay in fp32, where half would add noise."),
            ],
            outputs=[
                AudioModel.Output("audio_model", tooltip="AudioLDM, for the nodes that make sound."),
                *_native("AudioLDM"),
            ],
        )

    @classmethod
    def execute(cls, model: str, download_if_missing: bool = False, precision: str = "auto") -> io.NodeOutput:
        from ...seeing_core.weights import load_audioldm

        path = folders.path_of(folders.AUDIOLDM, model, download_if_missing)
        tokenizer = folders.tokenizer_folder(path, download_if_missing)
        dtype = weights_dtype(precision)
        handle = ModelHandle.load(lambda: load_audioldm(path, tokenizer=tokenizer, dtype=dtype), NativeModel)
        return io.NodeOutput(handle, *native_parts(handle))


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
                    "base",
                    options=folders.choices(folders.BASE),
                    default=folders.POCKET,
                    tooltip=POCKET_TIP + "Others are the files in models/checkpoints, which must be Stable Diffusion 1.5, "
                    "and the Stable Diffusion 1.5 diffusers folders found in models/diffusers." + KNOWN_TIP,
                ),
                io.Combo.Input(
                    "motion",
                    options=folders.choices(folders.MOTION),
                    default=folders.POCKET,
                    tooltip="The motion module, which must be made for the base: a .ckpt or .safetensors or a diffusers "
                    "folder in models/animatediff_models, e.g. mm_sd_v15_v2.ckpt or v3_sd15_mm.ckpt." + KNOWN_TIP,
                ),
                download_if_missing(),
                precision("On most GPUs bf16 halves the memory."),
                *_lora("lora", "loras", "A LoRA for Stable Diffusion 1.5, from models/loras: a style or a subject."),
                *_lora(
                    "motion_lora",
                    "animatediff_motion_lora",
                    "A LoRA for the motion module, from models/animatediff_motion_lora: camera moves such as zoom or pan.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Instead of the base: a Stable Diffusion 1.5 from Load "
                    "Checkpoint, LoRAs included. Connect clip and vae as well.",
                ),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder that belongs to the connected model."),
                io.Vae.Input("vae", optional=True, tooltip="The VAE that belongs to the connected model."),
            ],
            outputs=[
                VideoModel.Output("video_model", tooltip="AnimateDiff, for the nodes that make frames."),
                *_native("AnimateDiff"),
            ],
        )

    @classmethod
    def execute(
        cls,
        base: str,
        motion: str,
        download_if_missing: bool = False,
        precision: str = "auto",
        lora: str = folders.NONE,
        lora_strength: float = 1.0,
        motion_lora: str = folders.NONE,
        motion_lora_strength: float = 1.0,
        model: ModelPatcher | None = None,
        clip: CLIP | None = None,
        vae: VAE | None = None,
    ) -> io.NodeOutput:
        from ...seeing_core.weights import Lora, load_animatediff

        chosen = [
            (folders.lora_file("loras", lora), lora_strength),
            (folders.lora_file("animatediff_motion_lora", motion_lora), motion_lora_strength),
        ]
        loras = [Lora(path, strength) for path, strength in chosen if path is not None]
        motion_path = folders.path_of(folders.MOTION, motion, download_if_missing)
        borrowed = base_from_checkpoint(model, clip, vae)
        start = folders.path_of(folders.BASE, base, download_if_missing) if borrowed is None else borrowed
        dtype = weights_dtype(precision)
        handle = ModelHandle.load(lambda: load_animatediff(start, motion_path, loras=loras, dtype=dtype), NativeModel)
        return io.NodeOutput(handle, *native_parts(handle))


def _native(name: str) -> list[io.Output]:
    return [
        io.Model.Output("model", tooltip=f"{name} for ComfyUI's own samplers, guided by Align Model."),
        io.Clip.Output("clip", tooltip=f"{name}'s text encoder, for CLIP Text Encode."),
        io.Vae.Output("vae", tooltip=f"{name}'s VAE. It decodes only."),
    ]


def _lora(name: str, folder: str, tooltip: str) -> list[io.Input]:
    return [
        io.Combo.Input(
            name, options=folders.lora_choices(folder), default=folders.NONE, optional=True, advanced=True, tooltip=tooltip
        ),
        io.Float.Input(
            f"{name}_strength",
            default=1.0,
            min=-10.0,
            max=10.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="How much of it is added. 1 is as it was trained; 0 leaves it out.",
        ),
    ]


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
                    "model",
                    options=folders.choices(folders.IMAGEBIND),
                    default=folders.POCKET,
                    tooltip=POCKET_TIP + "Others are the .pth and .safetensors files found in models/imagebind, e.g. "
                    "imagebind_huge.pth (weights: CC BY-NC-SA 4.0, not for commercial use)." + KNOWN_TIP,
                ),
                download_if_missing(),
                precision("The comparison itself is always made in fp32."),
            ],
            outputs=[Binder.Output("binder", tooltip="ImageBind, for the nodes that align sound and picture.")],
        )

    @classmethod
    def execute(cls, model: str, download_if_missing: bool = False, precision: str = "auto") -> io.NodeOutput:
        from ...seeing_core.weights import load_imagebind

        path = folders.path_of(folders.IMAGEBIND, model, download_if_missing)
        dtype = weights_dtype(precision)
        return io.NodeOutput(BinderHandle.load(lambda: load_imagebind(path, dtype=dtype)))


class LoadPeAv(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_LoadPeAv",
            display_name="Load PE-AV",
            category=CATEGORY + "/loaders",
            description="Loads PE-AV, which tells how well a picture, a sound and a sentence fit each other, and when. A newer "
            "binder than ImageBind, whose weights are free for commercial work too.",
            search_aliases=["binder", "audio visual embedding", "perception encoder", "pe-av", "peav"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=folders.choices(folders.PE_AV),
                    default=folders.POCKET,
                    tooltip=POCKET_TIP + "Others are the folders found in models/pe_av and in the Hugging Face cache, e.g. "
                    "pe-av-small (weights: Apache 2.0). Those with '16-frame' look at 16 frames of a video, which is faster; the "
                    "others see all, which they need to tell when." + KNOWN_TIP,
                ),
                download_if_missing(),
                precision("The comparison itself is always made in fp32."),
            ],
            outputs=[Binder.Output("binder", tooltip="PE-AV, for the nodes that align sound and picture.")],
        )

    @classmethod
    def execute(cls, model: str, download_if_missing: bool = False, precision: str = "auto") -> io.NodeOutput:
        from ...seeing_core.weights import load_pe_av

        path = folders.path_of(folders.PE_AV, model, download_if_missing)
        dtype = weights_dtype(precision)
        return io.NodeOutput(BinderHandle.load(lambda: load_pe_av(path, dtype=dtype)))
