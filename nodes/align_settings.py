"""Align Settings: the advanced bundle, for any of the four tasks."""

from __future__ import annotations

from comfy_api.latest import io

from ..seeing_core.settings import MODES, AlignSettings
from . import inputs
from .types import CATEGORY, Settings


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
                *inputs.alignment(MODES, advanced=False),
                io.Float.Input(
                    "strength", display_name="latent strength", default=1.0, min=0.0, max=100.0, step=0.05,
                    tooltip="How strongly the latent is nudged. 1 is the mode's usual rate, 0 leaves the latent alone.",
                ),
                io.Float.Input(
                    "prompt_strength", display_name="prompt tuning", default=0.0, min=0.0, max=100.0, step=0.05,
                    tooltip="How strongly the prompt itself is tuned while sampling (the paper's guided prompt tuning). "
                    "1 is the usual rate, 0 leaves the prompt alone. Costs about twice the time.",
                ),
                io.Float.Input(
                    "end_fraction", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="The part of the steps after which alignment stops, from 0 to 1. 1 aligns to the last step.",
                ),
                io.Float.Input(
                    "audio_weight", default=1.0, min=0.0, max=100.0, step=0.05,
                    tooltip="Weight of the sound in the alignment, where the task has one. 0 leaves it out.",
                ),
            ],
            outputs=[Settings.Output("settings", tooltip="For the settings input of a task node.")],
        )

    @classmethod
    def execute(cls, **values: float) -> io.NodeOutput:
        return io.NodeOutput(AlignSettings(**values))
