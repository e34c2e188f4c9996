"""Score Audio-Visual Fit: how well a sound fits a video, in numbers, in words and in a picture."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import Input, io
from torch import Tensor

from ..comfy.convert import video_from, waveform_from
from ..comfy.memory import ModelHandle
from ..comfy.players import picture
from ..comfy.progress import StageProgress
from ..sockets import CATEGORY
from ..tasks.inputs import fps_of_images
from .common import (
    as_image,
    binder_input,
    flow_size_input,
    measuring,
    own_sound,
    prompt_input,
)

UNDEFINED = float("nan")


class ScoreFit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_ScoreFit",
            display_name="Score Audio-Visual Fit",
            category=CATEGORY + "/measure",
            has_intermediate_output=True,
            description="Measures how well a sound fits a video: whether things sound when they move (AV-Align), by "
            "how much the sound is late, and, with a binder, whether sound and picture show the same thing. A value "
            "that cannot be defined, because nothing sounds and nothing moves or no binder is connected, is nan.",
            search_aliases=["av-align", "sync score", "evaluate", "audio video alignment", "metrics", "desync", "lag"],
            inputs=[
                io.MultiType.Input(
                    "video",
                    types=[io.Video, io.Image],
                    tooltip="The video, or a batch of images (set fps and connect audio as well). Two frames or more.",
                ),
                prompt_input(),
                fps_of_images(),
                flow_size_input(),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="The sound. Of a batch, only the first is used. Without it the video's own sound track is "
                    "measured.",
                ),
                binder_input(),
            ],
            outputs=[
                io.Float.Output(
                    "av_align",
                    display_name="AV-Align",
                    tooltip="AV-Align, one to one, from 0 to 1: the share of onsets and motions that match. Trust this "
                    "one first. nan when nothing sounds and nothing moves.",
                ),
                io.Float.Output(
                    "av_align_paper",
                    display_name="AV-Align, paper form",
                    tooltip="AV-Align as the paper's code computes it, to compare with published tables. One motion "
                    "may match several onsets, so a busy sound scores high; it can exceed 1.",
                ),
                io.Float.Output(
                    "lag_ms",
                    display_name="lag, ms",
                    tooltip="By how many milliseconds the sound comes after the picture; negative: before. nan when "
                    "the sound or the picture never changes.",
                ),
                io.Float.Output(
                    "lag_correlation",
                    display_name="lag correlation",
                    tooltip="How well sound and motion agree at that lag, up to 1. Below 0.3 is no more than chance.",
                ),
                io.Float.Output(
                    "binder_similarity",
                    display_name="binder similarity",
                    tooltip="Cosine of the binder's embeddings of sound and picture, from -1 to 1. nan without a binder.",
                ),
                io.String.Output("report", tooltip="All of it in a few sentences, for Preview as Text."),
                io.Image.Output(
                    "plot",
                    tooltip="The waveform with its onsets, the motion with its peaks, matches joined in green, "
                    "and the binder's similarity second by second.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        video: Input.Video | Tensor,
        prompt: str,
        fps: float,
        flow_size: int,
        audio: dict[str, Any] | None = None,
        binder: ModelHandle | None = None,
    ) -> io.NodeOutput:
        from ...seeing_core.metrics.fit import measure_fit
        from ...seeing_core.metrics.motion import measure_motion
        from ...seeing_core.visuals.plots import fit_plot

        with measuring(binder):
            source = video_from(video, fps)
            sound = own_sound(video, source) if audio is None else waveform_from(audio)
            motion = measure_motion(source, side=flow_size, callback=StageProgress())
            fit = measure_fit(source, sound, motion, binder=binder and binder.model, prompt=prompt)
            plot = as_image(fit_plot(fit))
        lag_ms = None if fit.lag.lag_s is None else 1000 * fit.lag.lag_s
        similarity = None if fit.binder is None else fit.binder.av
        values = (fit.one_to_one.score, fit.paper.score, lag_ms, fit.lag.correlation, similarity)
        return io.NodeOutput(*(UNDEFINED if value is None else value for value in values), str(fit), plot, ui=picture(plot))
