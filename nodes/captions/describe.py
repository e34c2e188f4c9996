"""Describe: a picture, video or sound in, the phrases that fit it best out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.binders.phrases import read_phrases, shipped_phrases
from ...seeing_core.captions.describe import MAX_PHRASES, describe
from ...seeing_core.guidance.targets import Images
from ...seeing_core.media.types import Video, Waveform
from ..comfy.convert import images_from, video_from, waveform_from
from ..comfy.memory import ModelHandle, on_device
from ..sockets import CATEGORY
from ..tasks import inputs
from .captioner_loading import warn_if_silent

INSTEAD, BESIDE = "instead of the built-in list", "beside the built-in list"
DESCRIBE_BYTES = 2**30


class Describe(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_Describe",
            display_name="Describe",
            category=CATEGORY + "/captions",
            description="Finds the phrases that fit a picture, a video or a sound best, with the binder alone: no "
            "further model is needed. Ranks a built-in list of everyday sounds and scenes, or your own.",
            search_aliases=[
                "caption",
                "tag",
                "classify",
                "zero shot",
                "what is this",
                "imagebind caption",
                "describe with imagebind",
            ],
            inputs=[
                inputs.binder(),
                io.MultiType.Input(
                    "media",
                    types=[io.Image, io.Video, io.Audio],
                    tooltip="Up to 64 images, a video, or a sound of 0.3 s to one hour. Of a batch of sounds, only the "
                    "first is used.",
                ),
                io.String.Input(
                    "phrases",
                    multiline=True,
                    default="",
                    tooltip="Your own phrases in English, one per line: 'a dog barking'. Empty: the built-in list of "
                    "about 500.",
                ),
                io.Int.Input(
                    "count",
                    default=3,
                    min=1,
                    max=MAX_PHRASES,
                    tooltip="How many phrases to return, best first.",
                ),
                io.Combo.Input(
                    "own_phrases",
                    options=[INSTEAD, BESIDE],
                    default=INSTEAD,
                    advanced=True,
                    tooltip="Whether your own phrases replace the built-in list or are added to it.",
                ),
            ],
            outputs=[
                io.String.Output("description", tooltip="The best phrases, separated by commas, for a prompt input."),
                io.String.Output(
                    "scores",
                    tooltip="The best phrases, one per line, each with its similarity in front (cosine, -1 "
                    "to 1; higher fits better). Preview as Text shows it.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        binder: ModelHandle,
        media: Tensor | Input.Video | Mapping[str, Any] | None,
        phrases: str,
        count: int,
        own_phrases: str,
    ) -> io.NodeOutput:
        own = read_phrases(phrases)
        ranked = own if own and own_phrases == INSTEAD else list(dict.fromkeys([*own, *shipped_phrases()]))
        given = _core_media(media)
        with on_device(binder, activations_bytes=DESCRIBE_BYTES):
            best = describe(binder.model, given, ranked, count)
        return io.NodeOutput(
            ", ".join(match.phrase for match in best), "\n".join(f"{match.score:+.3f}  {match.phrase}" for match in best)
        )


def _core_media(media: Tensor | Input.Video | Mapping[str, Any] | None) -> Images | Video | Waveform:
    if media is None or isinstance(media, Mapping):  # None: what a silent video gives as its sound
        sound = waveform_from(media)
        warn_if_silent("Describe", sound)
        return sound
    if isinstance(media, Tensor):
        return Images(images_from(media))
    return video_from(media, fps=1.0)
