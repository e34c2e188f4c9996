"""Presets: the choice that every task node offers, the widgets that act in each, and the settings that follow from them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ...seeing_core.errors import InputError
from ...seeing_core.guidance.settings import AUDIO_PRESETS, COMPLETIONS, JOINT_PRESETS, VIDEO_PRESETS, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from . import inputs


def _preset(presets: Mapping[str, AlignSettings], tooltip: str, target: str, *, remark: str = "") -> io.Input:
    """A preset, and beneath it the widgets that act in it.

    For the tooltips: target: what the output is guided towards.  remark: on strength.
    """
    options = [io.DynamicCombo.Option(name, _widgets(one, target, remark)) for name, one in presets.items()]
    return io.DynamicCombo.Input(
        "preset",
        options=options,
        tooltip=tooltip + " To see and change every detail, connect Align Settings; it takes the place of this preset.",
    )


def _widgets(settings: AlignSettings, target: str, remark: str) -> list[io.Input]:
    shown: list[io.Input] = []
    if settings.enabled:
        shown.append(inputs.strength(target, "turns guidance off", remark))
    if settings.complete_prompt != "never":
        shown.append(complete_prompt(settings))
    return shown


def complete_prompt(settings: AlignSettings) -> io.Input:
    return io.Combo.Input(
        "complete_prompt",
        display_name="complete the prompt",
        options=list(COMPLETIONS),
        default=settings.complete_prompt,
        tooltip="The binder finds words that fit and puts them in front of the prompt. 'when empty': only where you write no "
        "prompt, so that what you write decides. 'always': to every prompt that does not fit better already; they may overrule "
        "yours. 'never': your prompt alone decides.",
    )


def for_audio(target: str, remark: str = "") -> io.Input:
    return _preset(
        AUDIO_PRESETS,
        "How the sound is guided. 'balanced': tries several starts and keeps the one that fits best; where something says when "
        "things sound, it guides the early steps, which settle that; best in our tests. 'quality': tries twice as many. "
        "'fast': completes an empty prompt and sets the timing, no more. 'paper': the rule of the paper's released code. "
        "'gradient': plain gradient descent. 'x0': gradient steps in the predicted clean sound.",
        target,
        remark=remark,
    )


def for_video(target: str) -> io.Input:
    return _preset(
        VIDEO_PRESETS,
        "How the video is guided. 'balanced': tries several starts and keeps the one that fits best, then makes things move "
        "when they sound; best in our tests. 'quality': tries twice as many. 'fast': completes an empty prompt, no more. "
        "'paper': the paper's rule, which also tunes the prompt.",
        target,
    )


def for_both() -> io.Input:
    return _preset(
        JOINT_PRESETS,
        "How video and audio are guided. 'balanced': tries several starts of the sound and keeps the one that fits the video best, "
        "then guides some of the steps, so that sounds and movements come together; best in our tests. 'quality': tries twice "
        "as many. 'fast': completes an empty prompt, no more. 'paper': the paper's rule, which also tunes the prompt.",
        "a match of video, audio and prompt",
    )


def chosen_settings(
    node: str,
    presets: Mapping[str, AlignSettings],
    preset: Mapping[str, Any] | None,
    connected: AlignSettings | None,
    *,
    targets: Sequence[AlignTarget] = (),
    event_times: str = "",
) -> AlignSettings:
    """What is connected, or else the preset with the widgets beneath it. Inputs that have no effect are noted in the log.

    Raises InputError where there is no preset.
    """
    preset = known_preset(preset, presets)
    if connected is None:
        settings = presets[preset["preset"]].scaled(preset.get("strength", 1.0))
        settings = replace(settings, complete_prompt=preset.get("complete_prompt", settings.complete_prompt))
    else:
        logging.info("%s: the connected settings take the place of the preset '%s'", node, preset["preset"])
        settings = connected
    if event_times.strip() and not settings.enabled:
        logging.warning("%s: event times are not used, because no step is guided (strength 0)", node)
    if targets and not (settings.enabled and settings.binder_weight):
        logging.warning(
            "%s: targets are not used, because the binder takes no part in the steps (strength or binder weight 0)", node
        )
    return settings


def known_preset(preset: Mapping[str, Any] | None, presets: Iterable[str]) -> Mapping[str, Any]:
    """The preset. ComfyUI does not refuse an unknown one: it leaves the input out."""
    if preset is None:
        raise InputError("preset", "one that this node does not have", "one of " + ", ".join(presets))
    return preset
