"""Align Settings: the advanced bundle, for any of the four tasks."""

from __future__ import annotations

from comfy_api.latest import io

from ...seeing_core.guidance.settings import MODES, AlignSettings
from . import inputs
from ..sockets import CATEGORY, Settings


def _weight(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=default, min=0.0, max=100.0, step=0.05, optional=True, tooltip=tooltip)


class AlignSettingsNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_AlignSettings",
            display_name="Align Settings",
            category=CATEGORY,
            description="Everything about how the output is pulled towards its targets, in one bundle. Connected to a "
            "task node it takes the place of that node's own alignment widgets.",
            search_aliases=["aligner", "guidance settings", "prompt tuning", "seeing and hearing advanced"],
            inputs=[
                io.Combo.Input(
                    "mode", options=list(MODES), default="unet",
                    tooltip="How the latent is nudged. 'paper': the paper's released rule. 'gradient': plain gradient "
                    "descent. 'x0': the step is taken in the predicted clean output. 'unet': the gradient goes through "
                    "the UNet; slower, and it stays closer to what the model knows.",
                ),
                io.Float.Input(
                    "strength", display_name="latent strength", default=1.0, min=0.0, max=100.0, step=0.05,
                    tooltip="How strongly the latent is nudged. 1 is the mode's usual rate, 0 leaves the latent alone.",
                ),
                io.Float.Input(
                    "prompt_strength", display_name="prompt tuning", default=1.0, min=0.0, max=100.0, step=0.05,
                    tooltip="How strongly the prompt itself is tuned while sampling (the paper's guided prompt tuning). "
                    "1 is the usual rate, 0 leaves the prompt alone. Costs about twice the time.",
                ),
                io.Float.Input(
                    "start_fraction", default=0.0, min=0.0, max=1.0, step=0.01,
                    tooltip="The part of the steps that runs unaligned at the start, from 0 to 1. 0 aligns from the first "
                    "step on (the paper: 0.2), 1 aligns none.",
                ),
                io.Float.Input(
                    "end_fraction", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="The part of the steps after which alignment stops, from 0 to 1. 1 aligns to the last step.",
                ),
                io.Int.Input(
                    "inner_steps", default=1, min=1, max=100,
                    tooltip="Nudges per denoise step. Each costs as much time as the first.",
                ),
                inputs.vision_weight(),
                io.Float.Input(
                    "audio_weight", default=1.0, min=0.0, max=100.0, step=0.05,
                    tooltip="Weight of the sound in the alignment, where the task has one. 0 leaves it out.",
                ),
                inputs.text_weight(),
                io.Boolean.Input(
                    "words", display_name="complete the prompt", default=False, optional=True,
                    tooltip="ImageBind puts the target into words, and the words go before the prompt, unless the prompt fits "
                    "better already. The surest way to the right kind of thing.",
                ),
                _weight(
                    "fit_weight", 1.0, "Weight of everything that ImageBind compares. 0: it finds words, but takes no part in "
                    "the steps, which is fast.",
                ),
                _weight(
                    "event_weight", 0.0, "Weight of timing: sound starts when the picture moves. 1 is usual, 0 leaves it out.",
                ),
                _weight(
                    "clip_weight", 0.0, "Weight of each second of sound against the same second of picture, beside their mean. "
                    "1 is usual, 0 leaves it out.",
                ),
                io.Int.Input(
                    "recurrence", default=0, min=0, max=20, optional=True,
                    tooltip="How often each aligned step is taken back and done again. Steadier, and as many times slower.",
                ),
                io.Float.Input(
                    "pull", default=0.0, min=0.0, max=1.0, step=0.01, optional=True,
                    tooltip="How much of each nudge is taken back towards the unaligned result, from 0 to 1.",
                ),
                _weight(
                    "gradient_clip", 0.0, "No part of a nudge is larger than this many times its usual size. 3 tames outliers, 0 "
                    "is no limit. For the modes 'x0' and 'unet'.",
                ),
                io.Float.Input(
                    "augment", default=0.0, min=0.0, max=10.0, step=0.05, optional=True,
                    tooltip="How much what ImageBind sees or hears is shifted, cropped and made noisy at random at each nudge. "
                    "1 is usual, 0 is not at all.",
                ),
                *(_weight(part, 1.0, f"Multiplies the strengths in the {third} third of the steps. 1 is usual.")
                  for part, third in (("early", "first"), ("middle", "second"), ("late", "last"))),
            ],
            outputs=[Settings.Output("settings", tooltip="For the settings input of a task node.")],
        )

    @classmethod
    def execute(cls, **values: float) -> io.NodeOutput:
        return io.NodeOutput(AlignSettings(**values))
