"""Mux Audio into Video: the video with a new sound, the picture untouched."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from comfy_api.latest import Input, InputImpl, io
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.media.mix import DUCKING_RANGE_DB, LEVEL_RANGE_DB, MODES, Mix
from ...seeing_core.media.mux import COPIES, FITS, left_out, mux
from ...seeing_core.media.types import Waveform
from ..comfy.convert import own_track, video_from, waveform_from
from ..comfy.players import temporary_video
from ..sockets import CATEGORY
from ..tasks.inputs import fps_of_images

LOUDNESS_LUFS = {"as it is": None, "-14 LUFS, streaming": -14.0, "-16 LUFS, podcast": -16.0, "-23 LUFS, broadcast": -23.0}


class MuxAudioIntoVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_MuxAudio",
            display_name="Mux Audio into Video",
            category=CATEGORY,
            description="Gives a video a new sound: instead of its own, mixed with it, or as a further track. The picture of a "
            "video file is copied bit for bit where that can be; the sound is stored as AAC. Save the result with Save Video.",
            search_aliases=[
                "add audio to video",
                "replace sound",
                "combine audio video",
                "merge audio",
                "soundtrack",
                "ducking",
            ],
            inputs=[
                io.MultiType.Input(
                    "video", types=[io.Video, io.Image], tooltip="The video, or a batch of images (set fps as well)."
                ),
                io.Audio.Input("audio", tooltip="The new sound. Of a batch, only the first is used."),
                _sound(),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default=FITS[0],
                    tooltip="When the lengths differ. 'fit to picture': the sound is cut, or silence is added, at its "
                    "end. 'trim to shorter': the longer one is cut; a picture that is cut has to be encoded again.",
                ),
                _level("level", "Loudness of the new sound in dB. 0 leaves it, -6 halves it."),
                io.Float.Input(
                    "offset_ms",
                    default=0.0,
                    min=-3_600_000.0,
                    max=3_600_000.0,
                    step=1.0,
                    advanced=True,
                    tooltip="When the new sound begins, in milliseconds from the first picture. Below 0: its beginning is left out.",
                ),
                _fade("fade_in", "From silence, at the start of the new sound, in seconds."),
                _fade("fade_out", "To silence, at the end of the new sound, in seconds."),
                io.Combo.Input(
                    "loudness",
                    options=list(LOUDNESS_LUFS),
                    default="as it is",
                    advanced=True,
                    tooltip="Brings the finished sound to a loudness after EBU R128. It stays below that where peaks would be cut off.",
                ),
                io.Combo.Input(
                    "copies",
                    options=list(COPIES),
                    default=COPIES[0],
                    advanced=True,
                    tooltip="Which pictures are copied as they are; others are encoded again as H.264 of 8 bits. 'what mp4 can "
                    "hold' copies HEVC and 10 bits as well, which not every player shows.",
                ),
                fps_of_images(),
            ],
            outputs=[io.Video.Output("video", tooltip="The video with its new sound, for Save Video.")],
        )

    @classmethod
    def execute(
        cls,
        video: Input.Video | Tensor,
        audio: Mapping[str, Any],
        sound: Mapping[str, Any] | None,
        fit: str,
        level: float,
        offset_ms: float,
        fade_in: float,
        fade_out: float,
        loudness: str,
        copies: str,
        fps: float,
    ) -> io.NodeOutput:
        if sound is None:  # ComfyUI does not refuse an unknown choice: it leaves the input out
            raise InputError("sound", "one that this node does not have", "one of " + ", ".join(MODES))
        mix = Mix(
            sound["sound"],
            level,
            sound.get("own_level", 0.0),
            sound.get("ducking", 0.0),
            offset_ms / 1000,
            fade_in,
            fade_out,
            LOUDNESS_LUFS[loudness],
        )
        shown, new = video_from(video, fps), waveform_from(audio)
        own = None if mix.mode == "replace" else own_track(video, shown)
        _tell(mix, own, left_out(shown))
        path = mux(shown, new, temporary_video(), fit=fit, mix=mix, own=own, copies=copies)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))


def _tell(mix: Mix, own: Waveform | None, lacks: list[str]) -> None:
    if mix.mode != "replace" and own is None:
        logging.warning("Mux Audio into Video: the video has no sound of its own, so the new one is its only sound")
    if lacks:
        logging.warning("Mux Audio into Video: the file lacks %s of the video that it was made from", ", ".join(lacks))


def _sound() -> io.Input:
    own_level = _level("own_level", "Loudness of the video's own sound in dB. 0 leaves it, -6 halves it.")
    ducking = io.Float.Input(
        "ducking",
        default=DUCKING_RANGE_DB[0],
        min=DUCKING_RANGE_DB[0],
        max=DUCKING_RANGE_DB[1],
        step=0.5,
        tooltip="How much the video's own sound is lowered while the new one is heard, in dB. 12 is usual for speech.",
    )
    inputs: dict[str, list[io.Input]] = {"replace": [], "mix": [own_level, ducking], "add a track": [own_level]}
    return io.DynamicCombo.Input(
        "sound",
        options=[io.DynamicCombo.Option(mode, inputs[mode]) for mode in MODES],
        tooltip="What becomes of the video's own sound. 'replace': it is left out. 'mix': both are heard. 'add a track': the new "
        "one becomes a second track, which a player can choose.",
    )


def _level(name: str, tooltip: str) -> io.Input:
    low, high = LEVEL_RANGE_DB
    return io.Float.Input(name, default=0.0, min=low, max=high, step=0.5, advanced=name == "level", tooltip=tooltip)


def _fade(name: str, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=0.0, min=0.0, max=3600.0, step=0.05, advanced=True, tooltip=tooltip)
