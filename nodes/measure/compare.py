"""Compare: up to six sounds or videos side by side, to look at and to listen to one after another."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

import numpy as np
import torch
from comfy_api.latest import Input, InputImpl, io
from torch import Tensor

from ...seeing_core.media.types import Video, Waveform
from ..comfy.convert import video_from, waveform_from
from ..comfy.memory import ModelHandle
from ..comfy.players import player, temporary_video
from ..comfy.progress import StageProgress
from ..sockets import CATEGORY
from ..tasks.inputs import fps_of_images
from .common import (
    all_candidates,
    binder_input,
    first_of_each,
    flow_size_input,
    measuring,
    own_sound,
    prompt_input,
    sounds_from,
)

MEDIA = [io.Audio, io.Video, io.Image]


class Compare(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_Compare",
            display_name="Compare",
            category=CATEGORY + "/measure",
            is_input_list=True,
            has_intermediate_output=True,
            description="Puts up to six sounds or videos side by side: frames, waveforms, spectrograms and scores on "
            "one sheet, and one video in which each is heard in turn. For choosing between seeds and settings by eye "
            "and ear.",
            search_aliases=["a/b", "ab test", "contact sheet", "grid", "side by side", "compare seeds", "xy plot"],
            inputs=[
                io.Autogrow.Input(
                    "candidates",
                    tooltip="The sounds or videos to compare, up to 6; a new socket appears for each. A "
                    "socket may bring several, such as the candidates of a task node; each counts.",
                    template=io.Autogrow.TemplatePrefix(
                        io.MultiType.Input(
                            "candidate", types=MEDIA, tooltip="A sound, a video, or the frames of one; or several candidates."
                        ),
                        prefix="candidate",
                        min=1,
                        max=6,
                    ),
                ),
                io.String.Input(
                    "labels",
                    multiline=True,
                    default="",
                    tooltip="What to call them, one per line, in the order of the sockets: 'seed 1'. Empty: A, B, C ...",
                ),
                prompt_input(),
                fps_of_images(),
                flow_size_input(),
                io.MultiType.Input(
                    "video",
                    types=[io.Video, io.Image],
                    optional=True,
                    tooltip="The video that all sounds are for. Without it they are shown and played without a "
                    "picture, and not scored.",
                ),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="The sound that all videos are for; of a batch, the first. Without it each video's own "
                    "sound track is used.",
                ),
                binder_input(),
            ],
            outputs=[
                io.Image.Output("sheet", tooltip="All candidates side by side, with their scores."),
                io.Video.Output("video", tooltip="The sheet as a video: each candidate plays in turn, marked in green."),
                io.String.Output("report", tooltip="Their scores in words, for Preview as Text."),
            ],
        )

    @classmethod
    def execute(cls, candidates: io.Autogrow.Type, **inputs: list[Any]) -> io.NodeOutput:
        return cls._compare(all_candidates(candidates), **first_of_each(inputs))

    @classmethod
    def _compare(
        cls,
        candidates: list[Any],
        labels: str,
        prompt: str,
        fps: float,
        flow_size: int,
        video: Input.Video | Tensor | None = None,
        audio: dict[str, Any] | None = None,
        binder: ModelHandle | None = None,
    ) -> io.NodeOutput:
        from ...seeing_core.media.mux import mux
        from ...seeing_core.visuals.contact_sheet import (
            Candidate,
            Reel,
            check_count,
            contact_sheet,
        )

        source = None if video is None else video_from(video, fps)
        pairs = [pair for one in candidates for pair in _pairs(one, source, audio, fps)]
        names = [line.strip() for line in labels.splitlines() if line.strip()]
        names = [*names, *ascii_uppercase[len(names) :]][: len(pairs)]
        check_count(len(pairs))
        words = _scores(pairs, prompt, flow_size, binder)
        shown = [
            Candidate(name, sound, shown_video, line)
            for name, (shown_video, sound), line in zip(names, pairs, words, strict=True)
        ]
        reel = Reel(shown)
        path = mux(reel, reel.sound, temporary_video())
        sheet = torch.from_numpy(np.array(contact_sheet(shown))).float()[None] / 255
        report = "\n".join(f"{name}: {line}" for name, line in zip(names, words, strict=True))
        return io.NodeOutput(sheet, InputImpl.VideoFromFile(str(path)), report, ui=player(path))


def _pairs(
    media: dict[str, Any] | Input.Video | Tensor, video: Video | None, audio: dict[str, Any] | None, fps: float
) -> list[tuple[Video | None, Waveform]]:
    """The video and the sound of one candidate; several of a batch of sounds."""
    if isinstance(media, Mapping):
        return [(video, sound) for sound in sounds_from(media)]
    own = video_from(media, fps)
    return [(own, own_sound(media, own) if audio is None else waveform_from(audio))]


def _scores(pairs: list[tuple[Video | None, Waveform]], prompt: str, flow_size: int, binder: ModelHandle | None) -> list[str]:
    """What is measured of each pair, in a line; nothing without a video."""
    from ...seeing_core.metrics.fit import measure_fits
    from ...seeing_core.metrics.ranking import in_a_line

    scored = [(video, sound) for video, sound in pairs if video is not None]
    videos = len({id(video) for video, _ in scored})
    with measuring(binder):
        lines = iter(
            [
                in_a_line(fit)
                for fit in measure_fits(
                    scored, side=flow_size, binder=binder and binder.model, prompt=prompt, callback=StageProgress(videos)
                )
            ]
        )
        return ["not scored: no video" if video is None else next(lines) for video, _ in pairs]
