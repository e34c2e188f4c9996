"""Inputs that several task nodes share, so that each has one name, one range and one explanation everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io

from ...seeing_core.guidance.settings import (
    AUDIO_PRESETS,
    JOINT_PRESETS,
    VIDEO_PRESETS,
    AlignSettings,
)
from ..sockets import AudioModel, Binder, Settings, Targets, VideoModel


def audio_model() -> io.Input:
    return AudioModel.Input("audio_model", tooltip="AudioLDM, from Load AudioLDM.")


def video_model() -> io.Input:
    return VideoModel.Input("video_model", tooltip="AnimateDiff, from Load AnimateDiff.")


def binder() -> io.Input:
    return Binder.Input("binder", tooltip="ImageBind, from Load ImageBind.")


def prompt(of: str, example: str) -> io.Input:
    return io.String.Input(
        "prompt", multiline=True, default="",
        tooltip=f"What should be {of}, in a few English words: '{example}'. May stay empty.",
    )


def negative_prompt(of: str, example: str) -> io.Input:
    return io.String.Input(
        "negative_prompt", multiline=True, default="",
        tooltip=f"What should not be {of}: '{example}'. May stay empty.",
    )


def steps(default: int) -> io.Input:
    return io.Int.Input(
        "steps", default=default, min=1, max=1000,
        tooltip="Denoise steps. More is slower and a little cleaner; 20 to 50 is usual.",
    )


def seed() -> io.Input:
    return io.Int.Input(
        "seed", default=0, min=0, max=2**63 - 1, control_after_generate=True,
        tooltip="Another seed gives another result. The same seed and settings give the same result again.",
    )


def guidance_scale(name: str, model: str, default: float, usual: str) -> io.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=100.0, step=0.1, advanced=True,
        tooltip=f"How closely {model} follows the prompt (classifier-free guidance). 1 is off, {usual} is usual.",
    )


def fps_of_images() -> io.Input:
    return io.Float.Input(
        "fps", default=8.0, min=0.01, max=1000.0, step=0.01, advanced=True,
        tooltip="Frames per second of an image batch. A video knows its own; this is then not used.",
    )


def fps_to_make() -> io.Input:
    return io.Float.Input(
        "fps", default=8.0, min=1.0, max=60.0, step=0.01,
        tooltip="Frames per second of the video. AnimateDiff moves naturally at 8; more takes longer.",
    )


def sides() -> list[io.Input]:
    return [
        io.Int.Input(
            name, default=0, min=0, max=4096, step=8, advanced=True,
            tooltip=f"{name.capitalize()} of the video in pixels, a multiple of 8. 0: the model's own size (512 for Stable "
            "Diffusion 1.5).",
        )
        for name in ("width", "height")
    ]


def settings() -> io.Input:
    return Settings.Input(
        "settings", optional=True,
        tooltip="From Align Settings. When connected, it takes the place of this node's preset.",
    )


def targets() -> io.Input:
    return Targets.Input(
        "targets", optional=True,
        tooltip="From Align Target: further things that the result should fit, a reference sound for example.",
    )


def preset(presets: Mapping[str, AlignSettings], tooltip: str, target: str) -> io.Input:
    """A preset, and beneath it the widgets that act in it.  target: what guides, for the tooltips."""
    return io.DynamicCombo.Input(
        "preset", options=[io.DynamicCombo.Option(name, _preset_inputs(one, target)) for name, one in presets.items()],
        tooltip=tooltip + " Align Settings shows and changes every detail; connected, it takes the place of this preset.",
    )


def _preset_inputs(settings: AlignSettings, target: str) -> list[io.Input]:
    shown: list[io.Input] = []
    if settings.enabled:
        shown.append(io.Float.Input(
            "strength", default=1.0, min=0.0, max=100.0, step=0.05,
            tooltip=f"How strongly the result is guided towards {target}. 1 is usual; 0 turns guidance off; above 2 the result "
            "may look or sound broken.",
        ))
    if settings.complete_prompt:
        shown.append(io.Boolean.Input(
            "complete_prompt", display_name="complete the prompt", default=True,
            tooltip=f"ImageBind puts {target.split(' and ')[0]} into words, and the words go before your prompt, unless your prompt "
            "fits better already. Turn it off when the prompt alone should decide.",
        ))
    return shown


def audio_preset(target: str) -> io.Input:
    return preset(
        AUDIO_PRESETS, "How the sound is guided. 'balanced': the prompt in ImageBind's words, and early guidance that places "
        "the sounds in time; best in our tests. 'quality': guided for longer, best in time, a little further from real sounds. "
        "'fast': prompt completion and timing alone. 'paper': the paper's released rule. 'gradient': plain gradient descent. "
        "'x0': steps in the predicted clean sound.", target,
    )


def video_preset(target: str) -> io.Input:
    return preset(
        VIDEO_PRESETS, "How the video is guided. 'balanced': the prompt in ImageBind's words, and guidance that makes things "
        "move when they sound; best in our tests. 'quality': more of it. 'fast': prompt completion alone. 'paper': the paper's "
        "rule with a tuned prompt.", target,
    )


def joint_preset(target: str) -> io.Input:
    return preset(
        JOINT_PRESETS, "How video and audio are guided. 'balanced': one prompt in ImageBind's words for both, and early guidance "
        "that brings sounds and movements together; best in our tests. 'quality': guided for longer. 'fast': prompt completion "
        "alone. 'paper': the paper's rule with a tuned prompt.", target,
    )


def settings_of(
    presets: Mapping[str, AlignSettings], chosen: Mapping[str, Any], connected: AlignSettings | None
) -> AlignSettings:
    """What is connected, or else the chosen preset with the widgets beneath it."""
    if connected is not None:
        return connected
    return presets[chosen["preset"]].scaled(
        chosen.get("strength", 1.0), complete_prompt=chosen.get("complete_prompt", True))


def event_times(does: str) -> io.Input:
    return io.String.Input(
        "event_times", default="", advanced=True, optional=True,
        tooltip=f"When something should {does}, in seconds: '0.5, 1.2'. Empty: found in the input.",
    )


def candidates() -> io.Input:
    return io.Int.Input(
        "candidates", default=1, min=1, max=16, advanced=True, optional=True,
        tooltip="How many to make at once, with this seed and the next ones. They leave as a list, best first, by how well sound "
        "and movement coincide (not by ImageBind). Takes that many times as long.",
    )


def seeds(first: int, count: int) -> list[int]:
    """One for each candidate."""
    return [(first + i) % 2**63 for i in range(count)]


def audio_result() -> io.Output:
    return io.Audio.Output(
        "audio", is_output_list=True, tooltip="The sound, exactly as long as asked. Of several candidates a list, best first.")


def images_result() -> io.Output:
    return io.Image.Output(
        "images", is_output_list=True, tooltip="The frames, in order. Of several candidates a list, best first.")
