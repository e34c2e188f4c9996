"""Align Model: the guidance for any of ComfyUI's own models, under any sampler."""

from __future__ import annotations

import logging
from dataclasses import fields, replace

from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from comfy_api.latest import io

from ...seeing_core.errors import InputError
from ...seeing_core.guidance.settings import NATIVE, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget, check_weights
from ..comfy.memory import BinderHandle
from ..sockets import CATEGORY, Alignment
from ..tasks import inputs
from ..tasks.align_settings import fields as settings_widgets
from .patch import Alignment as AlignmentValue
from .vae import NativeVae

NOT_USED = (
    "prompt_strength",
    "cfg_start_fraction",
    "cfg_end_fraction",
    "drafts",
    "draft_fraction",
    "draft_gain",
    "give_way",
    "complete_prompt",
)


class AlignModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_AlignModel",
            display_name="Align Model",
            category=CATEGORY + "/native models",
            description="Lets a picture, a video, a sound or words guide one of ComfyUI's own models while it samples: Stable "
            "Audio, ACE-Step, Wan, LTX-Video and others. What forms is decoded and compared with the targets, and the model goes on "
            "from what fits better. It works under every sampler and scheduler, with LoRAs, masks and previews; sampling takes "
            "longer and needs more memory, because the VAE runs at every guided step.",
            search_aliases=["guide model", "video to audio", "audio to video", "stable audio", "wan", "ltx", "guidance patch"],
            inputs=[
                io.Model.Input("model", tooltip="The model that is to be guided, with its LoRAs and other patches."),
                io.Vae.Input(
                    "vae",
                    tooltip="The VAE of this model. What it decodes to, sound or pictures, is what is compared. A tiny one (from "
                    "vae_approx) saves much time and memory.",
                ),
                inputs.binder(),
                inputs.targets(
                    "From Align Target: what the result should fit. To make sound for a video, put the video there. Without any the "
                    "model stays as it is, unless it makes picture and sound together, which are then fitted to each other."
                ),
                inputs.strength("the targets", "leaves the model as it is"),
                *_of_settings("start_fraction", "end_fraction"),
                io.Vae.Input(
                    "audio_vae",
                    optional=True,
                    tooltip="The second VAE of a model that makes picture and sound in one run, such as LTX-2. With it the two are also "
                    "fitted to each other.",
                ),
                inputs.settings("the strength and the other widgets of this node"),
                *_of_settings("inner_steps", "guide_every", "sync_weight", advanced=True),
                inputs.event_times(
                    "sound or move", "Empty: when the first video among the targets moves, or the first sound is heard."
                ),
                io.Int.Input(
                    "clips",
                    default=0,
                    min=0,
                    max=1000,
                    advanced=True,
                    tooltip="How many clips of what is made the binder compares at each guided step, evenly spread. Fewer take less time. "
                    "0: all.",
                ),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=0.01,
                    max=1000.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Frames per second of the video that the model makes: 16 for Wan, 24 for Hunyuan, 25 for LTX. Not used for sound.",
                ),
                io.Boolean.Input(
                    "frames_in_batch",
                    default=False,
                    advanced=True,
                    tooltip="For a model of single pictures: the batch is the frames of one video, as with AnimateDiff. Off: each is a "
                    "picture by itself.",
                ),
            ],
            outputs=[
                io.Model.Output("model", tooltip="For any sampler."),
                Alignment.Output("alignment", tooltip="For Alignment Report, which shows what the guidance did."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        vae: VAE,
        binder: BinderHandle,
        strength: float,
        start_fraction: float,
        end_fraction: float,
        inner_steps: int,
        guide_every: int,
        sync_weight: float,
        clips: int,
        fps: float,
        frames_in_batch: bool,
        targets: tuple[AlignTarget, ...] = (),
        audio_vae: VAE | None = None,
        settings: AlignSettings | None = None,
        event_times: str = "",
    ) -> io.NodeOutput:
        widgets = replace(
            NATIVE,
            strength=NATIVE.strength * strength,
            start_fraction=start_fraction,
            end_fraction=end_fraction,
            inner_steps=inner_steps,
            guide_every=guide_every,
            sync_weight=sync_weight,
        )
        check_weights(targets)
        vaes = [NativeVae(vae, "vae")] + ([NativeVae(audio_vae, "audio_vae")] if audio_vae is not None else [])
        if len(vaes) == 2 and (vaes[0].hears or not vaes[1].hears):
            raise InputError(
                "vae and audio_vae",
                " and ".join(one.family for one in vaes),
                "a VAE of pictures in vae and one of sound in audio_vae",
            )
        alignment = AlignmentValue(
            vaes,
            binder,
            targets,
            widgets if settings is None else _usable(settings),
            event_times,
            clips,
            fps,
            frames_in_batch,
            cls.hidden.unique_id,
        )
        return io.NodeOutput(alignment.patched(model), alignment)


def _of_settings(*names: str, advanced: bool = False) -> list[io.Input]:
    """Widgets of Align Settings, as they are there."""
    chosen = {one.id: one for one in settings_widgets(NATIVE) if one.id in names}
    for one in chosen.values():
        one.advanced = advanced
    return [chosen[name] for name in names]


def _usable(settings: AlignSettings) -> AlignSettings:
    """The connected settings as far as a model of ComfyUI's can be guided by them; the log says what is not used."""
    logging.info("Align Model: the connected settings take the place of the node's own widgets")
    plain = AlignSettings()
    ignored = [
        one.name.replace("_", " ")
        for one in fields(settings)
        if one.name in NOT_USED and getattr(settings, one.name) != getattr(plain, one.name)
    ]
    if settings.mode != "x0":
        ignored.insert(0, f"mode '{settings.mode}' (it guides in x0)")
    if ignored:
        logging.warning("Align Model: not used here: %s", ", ".join(ignored))
    return replace(settings, mode="x0", **{name: getattr(plain, name) for name in NOT_USED})
