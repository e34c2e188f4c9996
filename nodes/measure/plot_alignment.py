"""Plot Alignment: what the alignment loss did, as a picture."""

from __future__ import annotations

from comfy_api.latest import io

from ...seeing_core.guidance.trace import Trace as TraceValue
from ..comfy.players import picture
from ..sockets import CATEGORY, Trace
from .common import as_image


class PlotAlignment(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_PlotAlignment",
            display_name="Plot Alignment",
            category=CATEGORY + "/measure",
            is_output_node=True,
            description="Draws the alignment loss and its terms over the denoise steps. A falling curve means that the "
            "output came closer to its target; a flat one, that it did not; one that jumps up and down calls for less "
            "strength.",
            search_aliases=["loss curve", "trace", "alignment graph", "guidance plot"],
            inputs=[Trace.Input("trace", tooltip="From a task node, for example Video to Audio.")],
            outputs=[io.Image.Output("plot", tooltip="Loss over denoise steps; smaller is closer. 1200 x 720 pixels.")],
        )

    @classmethod
    def execute(cls, trace: TraceValue) -> io.NodeOutput:
        from ...seeing_core.visuals.plots import trace_plot

        plot = as_image(trace_plot(trace))
        return io.NodeOutput(plot, ui=picture(plot))
