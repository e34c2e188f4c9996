"""Align Settings: every detail of how the output is guided, for any of the four tasks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from comfy_api.latest import io

from ...seeing_core.guidance.settings import (
    AUDIO_PRESETS,
    JOINT_PRESETS,
    MODES,
    VIDEO_PRESETS,
    AlignSettings,
)
from ..sockets import CATEGORY, Settings
from .presets import complete_prompt, known_preset

JOINT = "video and audio"
PRESETS: dict[str, AlignSettings] = {
    f"{task}: {name}": settings
    for task, presets in (("audio", AUDIO_PRESETS), ("video", VIDEO_PRESETS), (JOINT, JOINT_PRESETS))
    for name, settings in presets.items()
}


def _float(name: str, default: float, tooltip: str, display_name: str | None = None, high: float = 100.0) -> io.Input:
    step = 0.01 if high == 1.0 else 0.05
    return io.Float.Input(name, display_name=display_name, default=default, min=0.0, max=high, step=step, tooltip=tooltip)


def _give_way(preset: AlignSettings) -> io.Input:
    return _float(
        "give_way",
        preset.give_way,
        "How far the picture or the sound gives way to a prompt that says another thing. 1: the prompt says what it is; "
        "the picture or the sound says when, and what the prompt leaves open. 0: both pull alike. Video and Audio Together "
        "has only the prompt.",
        "give way to the prompt",
        high=1.0,
    )


def fields(preset: AlignSettings, *, has_target: bool = True) -> list[io.Input]:
    """Every field of the settings that acts as a widget that starts from the preset's value.

    has_target: whether the task is given a video, an image or a sound.
    """
    value = asdict(preset)
    return [
        io.Combo.Input(
            "mode",
            options=list(MODES),
            default=value["mode"],
            tooltip="How a gradient step is taken. 'paper': the rule of the paper's released code. 'gradient': plain "
            "gradient descent. 'x0': in the predicted clean output. 'unet': through the UNet, which is slower and "
            "stays closer to what the model has learnt.",
        ),
        _float(
            "strength",
            value["strength"],
            "Step size of the guidance. 1 is what is usual for the model and the mode, 0 leaves the latent alone.",
        ),
        _float(
            "prompt_strength",
            value["prompt_strength"],
            "Step size of guided prompt tuning, which changes the "
            "prompt itself while sampling (from the paper). 1 is usual, 0 leaves the prompt alone. Takes about "
            "twice the time.",
            "prompt tuning",
        ),
        _float(
            "start_fraction",
            value["start_fraction"],
            "The share of the steps at the start that run unguided. 0 "
            "guides from the first step on (the paper: 0.2), 1 guides none.",
            high=1.0,
        ),
        _float(
            "end_fraction",
            value["end_fraction"],
            "The share of the steps after which guidance stops. 1 guides up to the last step.",
            high=1.0,
        ),
        io.Int.Input(
            "inner_steps",
            default=value["inner_steps"],
            min=1,
            max=100,
            tooltip="Gradient steps per guided step. Each takes as long as the first.",
        ),
        io.Int.Input(
            "guide_every",
            default=value["guide_every"],
            min=1,
            max=1000,
            tooltip="Of the steps between start and end, every k-th is guided. 2 takes half the time.",
        ),
        _float(
            "cfg_start_fraction",
            value["cfg_start_fraction"],
            "The share of the steps at the start without classifier-free guidance: starts differ more from each other, and take half "
            "the work. 0 has it on from the first step.",
            "cfg start fraction",
            high=1.0,
        ),
        _float(
            "cfg_end_fraction",
            value["cfg_end_fraction"],
            "The share of the steps after which classifier-free "
            "guidance is off, which halves the work of those steps. 1 keeps it on to the end.",
            "cfg end fraction",
            high=1.0,
        ),
        _float(
            "vision_weight",
            value["vision_weight"],
            "Weight of what is seen, in the tasks that have a video or an image. 0 leaves it out.",
        ),
        _float(
            "audio_weight", value["audio_weight"], "Weight of what is heard, in the tasks that have audio. 0 leaves it out."
        ),
        _float(
            "text_weight", value["text_weight"], "Weight of the prompt. 0 leaves it out. An empty prompt is always left out."
        ),
        _float(
            "binder_weight",
            value["binder_weight"],
            "Weight of everything that the binder compares. At 0 it "
            "takes no part in the steps, which is fast; it can still complete the prompt.",
        ),
        _float(
            "sync_weight", value["sync_weight"], "Weight of timing: things sound when they move. 1 is usual, 0 leaves it out."
        ),
        _float(
            "moment_weight",
            value["moment_weight"],
            "Weight of what the binder hears and sees moment by moment, so that each sound fits the picture of its own time. Acts "
            "with PE-AV; ImageBind cannot tell when. 0 leaves it out.",
        ),
        io.Int.Input(
            "drafts",
            default=value["drafts"],
            min=1,
            max=64,
            tooltip="So many starts are tried in a few coarse steps, and the run goes on from the one that fits best, among those "
            "that fit the prompt. Helps where the prompt leaves open what it is. 1 compares none.",
        ),
        _float(
            "draft_fraction",
            value["draft_fraction"],
            "The share of the steps that the run takes over from a draft. These steps are coarse, and only timing guides them (sync "
            "and moment weight): the binder compares what comes of them, and guides the later steps, up to the end fraction. 0: "
            "drafts lend the run only their noise, and no step of it is coarse.",
            high=1.0,
        ),
        _float(
            "draft_gain",
            value["draft_gain"],
            "Out of pure noise most models make small and faint things first. Of the drafts the seed's own begins so; the first "
            "prediction of the others is multiplied, of the last by this number, so that some come to large and bright things. 1: of "
            "none. Acts with a draft fraction above 0.",
            high=10.0,
        ),
        *([_give_way(preset)] if has_target else []),
        complete_prompt(preset),
    ]


class AlignSettingsNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_AlignSettings",
            display_name="Align Settings",
            category=CATEGORY,
            description="Every detail of how the output is guided. Choose the preset to start from, then change what "
            "you like. Connected to a task node it takes the place of that node's own preset.",
            search_aliases=["aligner", "guidance settings", "prompt tuning", "seeing and hearing advanced"],
            inputs=[
                io.DynamicCombo.Input(
                    "preset",
                    options=[
                        io.DynamicCombo.Option(name, fields(one, has_target=name.split(":")[0] != JOINT))
                        for name, one in PRESETS.items()
                    ],
                    tooltip="Where to start: choosing a preset fills in its values. 'audio' presets are for Video to "
                    "Audio and Image to Audio, 'video' presets for Audio to Video, 'video and audio' presets for Video "
                    "and Audio Together.",
                ),
            ],
            outputs=[Settings.Output("settings", tooltip="For the settings input of a task node.")],
        )

    @classmethod
    def execute(cls, preset: dict[str, Any] | None = None) -> io.NodeOutput:
        values = known_preset(preset, PRESETS)
        return io.NodeOutput(AlignSettings(**{name: value for name, value in values.items() if name != "preset"}))
