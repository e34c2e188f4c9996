"""Pick Best Sound and Pick Best Video: of several candidates the one that fits best, by a measure of choice."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.media.types import Video, Waveform
from ...seeing_core.metrics.ranking import DEFAULT, MEASURES
from ..comfy.convert import audio_output, video_from, waveform_from
from ..comfy.memory import ModelHandle
from ..comfy.progress import StageProgress
from ..sockets import CATEGORY
from ..tasks.inputs import fps_of_images
from .common import (
    all_candidates,
    as_image,
    binder_input,
    first_of_each,
    flow_size_input,
    measuring,
    prompt_input,
    sounds_from,
)

MAX_SOCKETS = 32


def _measure_input() -> io.Input:
    return io.Combo.Input(
        "measure",
        options=list(MEASURES),
        default=DEFAULT,
        tooltip="What counts as best. 'AV-Align (one to one)': things sound when they move. 'smallest lag': the fewest "
        "milliseconds between sound and movement. The two 'binder' measures need a binder; guidance has raised them "
        "already, so they hardly tell guided candidates apart. Ties are settled by lag correlation.",
    )


def _outputs(best: io.Output) -> list[io.Output]:
    return [
        best,
        io.String.Output("ranking", tooltip="All candidates with their measures, best first, for Preview as Text."),
        io.Int.Output("number", tooltip="Which candidate it is, counted from 1."),
        io.Image.Output("plot", tooltip="How the best one fits: its onsets, the motion, and what matched."),
    ]


class PickBestSound(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_PickBestSound",
            display_name="Pick Best Sound",
            category=CATEGORY + "/measure",
            is_input_list=True,
            description="Of several sounds for one video, picks the one that fits best. A socket may bring several "
            "sounds, such as the candidates of Video to Audio; all of them take part.",
            search_aliases=["best of", "choose seed", "rank audio", "select best", "compare seeds"],
            inputs=[
                io.MultiType.Input(
                    "video",
                    types=[io.Video, io.Image],
                    tooltip="The video, or a batch of images (set fps as well). Two frames or more.",
                ),
                io.Autogrow.Input(
                    "candidates",
                    tooltip="The sounds to choose from, one or several by each of up to 32 sockets; a "
                    "new socket appears for each.",
                    template=io.Autogrow.TemplatePrefix(
                        io.Audio.Input("audio", tooltip="A sound, or several candidates."),
                        prefix="audio",
                        min=1,
                        max=MAX_SOCKETS,
                    ),
                ),
                _measure_input(),
                prompt_input(),
                fps_of_images(),
                flow_size_input(),
                binder_input(),
            ],
            outputs=_outputs(io.Audio.Output("audio", tooltip="The best sound.")),
        )

    @classmethod
    def execute(cls, candidates: io.Autogrow.Type, **inputs: list[Any]) -> io.NodeOutput:
        return cls._pick(all_candidates(candidates), **first_of_each(inputs))

    @classmethod
    def _pick(
        cls,
        candidates: list[dict[str, Any]],
        video: Input.Video | Tensor,
        measure: str,
        prompt: str,
        fps: float,
        flow_size: int,
        binder: ModelHandle | None = None,
    ) -> io.NodeOutput:
        source = video_from(video, fps)
        sounds = [sound for audio in candidates for sound in sounds_from(audio)]
        number, words, plot = _best([(source, sound) for sound in sounds], measure, prompt, flow_size, binder)
        return io.NodeOutput(audio_output(sounds[number - 1]), words, number, plot)


class PickBestVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        kind = io.MatchType.Template("video", allowed_types=[io.Video, io.Image])
        return io.Schema(
            node_id="SeeingHearing_PickBestVideo",
            display_name="Pick Best Video",
            category=CATEGORY + "/measure",
            is_input_list=True,
            description="Of several videos (or image batches) for one sound, picks the one that fits best.",
            search_aliases=["best of", "choose seed", "rank video", "select best", "compare seeds"],
            inputs=[
                io.Audio.Input("audio", tooltip="The sound that all of them should fit. Of a batch, only the first is used."),
                io.Autogrow.Input(
                    "candidates",
                    tooltip="The videos or image batches to choose from, one or several by each of up to 32 sockets; a "
                    "new socket appears for each.",
                    template=io.Autogrow.TemplatePrefix(
                        io.MatchType.Input("video", kind, tooltip="A video, or the frames of one; or several candidates."),
                        prefix="video",
                        min=1,
                        max=MAX_SOCKETS,
                    ),
                ),
                _measure_input(),
                prompt_input(),
                fps_of_images(),
                flow_size_input(),
                binder_input(),
            ],
            outputs=_outputs(io.MatchType.Output(kind, "best", tooltip="The best candidate, as it came in.")),
        )

    @classmethod
    def execute(cls, candidates: io.Autogrow.Type, **inputs: list[Any]) -> io.NodeOutput:
        return cls._pick(all_candidates(candidates), **first_of_each(inputs))

    @classmethod
    def _pick(
        cls,
        candidates: list[Input.Video | Tensor],
        audio: dict[str, Any],
        measure: str,
        prompt: str,
        fps: float,
        flow_size: int,
        binder: ModelHandle | None = None,
    ) -> io.NodeOutput:
        sound = waveform_from(audio)
        pairs = [(video_from(one, fps), sound) for one in candidates]
        number, words, plot = _best(pairs, measure, prompt, flow_size, binder)
        return io.NodeOutput(candidates[number - 1], words, number, plot)


def _best(
    pairs: list[tuple[Video, Waveform]], measure: str, prompt: str, flow_size: int, binder: ModelHandle | None
) -> tuple[int, str, Tensor]:
    """The number of the best pair, counted from 1, the ranking in words, and its plot as an IMAGE."""
    from ...seeing_core.metrics.fit import measure_fits
    from ...seeing_core.metrics.ranking import check_measure, rank
    from ...seeing_core.visuals.plots import fit_plot

    check_measure(measure, binder=binder is not None, prompt=prompt)
    videos = len({id(video) for video, _ in pairs})
    with measuring(binder):
        fits = measure_fits(
            pairs, side=flow_size, binder=binder and binder.model, prompt=prompt, callback=StageProgress(videos)
        )
        ranking = rank(fits, measure)
        return ranking.best + 1, str(ranking), as_image(fit_plot(fits[ranking.best]))
