"""Inputs that several task nodes share, so that each has one name, one range and one explanation everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from comfy_api.latest import io

from ...seeing_core.guidance.settings import AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from ..comfy.progress import StageProgress, TaskProgress
from ..sockets import AudioModel, Binder, Settings, Targets, Trace, VideoModel

if TYPE_CHECKING:
    from ...seeing_core.run import RunConfig


def audio_model() -> io.Input:
    return AudioModel.Input("audio_model", tooltip="AudioLDM, from Load AudioLDM.")


def video_model() -> io.Input:
    return VideoModel.Input("video_model", tooltip="AnimateDiff, from Load AnimateDiff.")


def binder() -> io.Input:
    return Binder.Input(
        "binder", tooltip="ImageBind or PE-AV, from their loaders: it compares what is seen, heard and written."
    )


def prompt(of: str, example: str) -> io.Input:
    return io.String.Input(
        "prompt",
        multiline=True,
        default="",
        tooltip=f"What should be {of}, in a few English words: '{example}'. May be left empty.",
    )


def negative_prompt(of: str, example: str) -> io.Input:
    return io.String.Input(
        "negative_prompt",
        multiline=True,
        default="",
        tooltip=f"What should not be {of}: '{example}'. May be left empty.",
    )


def steps(default: int) -> io.Input:
    return io.Int.Input(
        "steps",
        default=default,
        min=1,
        max=1000,
        tooltip="Denoise steps. More steps take longer and give a slightly cleaner result; 20 to 50 is usual.",
    )


def strength(towards: str, at_zero: str, remark: str = "") -> io.Input:
    return io.Float.Input(
        "strength",
        default=1.0,
        min=0.0,
        max=100.0,
        step=0.05,
        tooltip=f"Strength of the guidance towards {towards}. 1 is usual, 0 {at_zero}; above 2 the result may look or sound "
        "broken." + remark,
    )


def seed() -> io.Input:
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=2**63 - 1,
        control_after_generate=True,
        tooltip="Another seed gives another result. The same seed and settings give the same result again.",
    )


def guidance_scale(name: str, model: str, default: float, usual: str) -> io.Input:
    return io.Float.Input(
        name,
        default=default,
        min=0.0,
        max=100.0,
        step=0.1,
        advanced=True,
        tooltip=f"How closely {model} follows the prompt (classifier-free guidance). 1 is off, {usual} is usual.",
    )


def fps_of_images() -> io.Input:
    return io.Float.Input(
        "fps",
        default=8.0,
        min=0.01,
        max=1000.0,
        step=0.01,
        advanced=True,
        tooltip="Frames per second of an image batch. Not used for a video, which has its own.",
    )


def fps_to_make(*, advanced: bool = False) -> io.Input:
    return io.Float.Input(
        "fps",
        default=8.0,
        min=1.0,
        max=60.0,
        step=0.01,
        advanced=advanced,
        tooltip="Frames per second of the video. AnimateDiff's motion looks natural at 8; more takes longer.",
    )


def sides() -> list[io.Input]:
    return [
        io.Int.Input(
            name,
            default=0,
            min=0,
            max=4096,
            step=8,
            advanced=True,
            tooltip=f"{name.capitalize()} of the video in pixels, a multiple of 8. 0: the model's own size (512 for "
            "Stable Diffusion 1.5).",
        )
        for name in ("width", "height")
    ]


def settings(instead_of: str = "this node's preset and the widgets below it") -> io.Input:
    return Settings.Input(
        "settings",
        optional=True,
        tooltip=f"From Align Settings. When connected, it takes the place of {instead_of}.",
    )


def targets(
    tooltip: str = "From Align Target: further things that the result should fit, for example a reference sound.",
) -> io.Input:
    return Targets.Input("targets", optional=True, tooltip=tooltip)


def run_config(
    seeds: Sequence[int], steps: int, settings: AlignSettings, targets: Sequence[AlignTarget], event_times: str = ""
) -> RunConfig:
    """A run that moves the node's bar at every stage, and stops on cancel."""
    from ...seeing_core.run import RunConfig

    return RunConfig(seeds, steps, settings, targets, event_times, TaskProgress(steps), StageProgress(), StageProgress())


def event_times(does: str, empty: str) -> io.Input:
    return io.String.Input(
        "event_times",
        default="",
        advanced=True,
        optional=True,
        tooltip=f"When something should {does}, in seconds: '0.5, 1.2'. {empty}",
    )


def candidates(order: str = "the one whose sounds and movements coincide best is first") -> io.Input:
    return io.Int.Input(
        "candidates",
        default=1,
        min=1,
        max=16,
        advanced=True,
        optional=True,
        tooltip="How many results to make in one run, with this seed and the ones after it. They come out as a list, "
        "and the nodes that follow run once for each; " + order + ". Takes that many times as long.",
    )


def seeds(first: int, count: int) -> list[int]:
    """One for each candidate."""
    return [(first + i) % 2**63 for i in range(count)]


def audio_result() -> io.Output:
    return io.Audio.Output(
        "audio",
        is_output_list=True,
        tooltip="The sound, exactly as long as asked for. With several candidates a list, best first.",
    )


def trace_result() -> io.Output:
    return Trace.Output("trace", tooltip="The alignment loss at each step; Preview as Text shows it.")


def images_result() -> io.Output:
    return io.Image.Output(
        "images", is_output_list=True, tooltip="The frames, in order. With several candidates a list, best first."
    )
