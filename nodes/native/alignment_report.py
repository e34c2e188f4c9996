"""Alignment Report: what Align Model did in the run that made a latent."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..comfy.players import picture
from ..measure.common import as_image
from ..sockets import CATEGORY, Alignment, Trace
from .patch import Alignment as AlignmentValue


class AlignmentReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_AlignmentReport",
            display_name="Alignment Report",
            category=CATEGORY + "/native models",
            is_output_node=True,
            description="Shows what Align Model did while a sampler made a latent: the distance to the targets over the guided steps. "
            "A falling curve means that the output came closer to its targets.",
            search_aliases=["loss curve", "alignment graph", "guidance plot", "trace"],
            inputs=[
                Alignment.Input("alignment", tooltip="From Align Model."),
                io.Latent.Input("latent", tooltip="What the sampler made with that model. It says which run is meant."),
            ],
            outputs=[
                io.Image.Output("plot", tooltip="Loss over denoise steps; smaller is closer. 1200 x 720 pixels."),
                Trace.Output("trace", tooltip="The numbers; Preview as Text shows them."),
            ],
        )

    @classmethod
    def execute(cls, alignment: AlignmentValue, latent: dict[str, Any]) -> io.NodeOutput:
        from ...seeing_core.visuals.plots import trace_plot

        trace = alignment.trace_of(latent["samples"])
        plot = as_image(trace_plot(trace))
        return io.NodeOutput(plot, trace, ui=picture(plot))
