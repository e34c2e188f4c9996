"""Event Times: when a video moves or a sound starts, to see and to correct."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.media.types import check_duration
from ..comfy.convert import video_from, waveform_from
from ..comfy.players import picture
from ..comfy.progress import StageProgress
from ..measure.common import as_image
from ..sockets import CATEGORY
from ..tasks.inputs import fps_of_images

STRIP_FRAMES = 10


class EventTimes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_EventTimes",
            display_name="Event Times",
            category=CATEGORY,
            has_intermediate_output=True,
            description="Finds when a video moves or a sound starts, as the tasks do by themselves. Correct the times by hand and "
            "give them to a task's event times.",
            search_aliases=["onset", "beat", "hit points", "motion peaks", "sync points", "spotting"],
            inputs=[
                io.MultiType.Input(
                    "media",
                    types=[io.Video, io.Image, io.Audio],
                    tooltip="A video, a batch of images (set fps as well), or a sound.",
                ),
                io.Float.Input(
                    "sensitivity",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="1 finds all that the tasks find, 0.5 leaves out what is less than half as strong as the strongest.",
                ),
                io.Float.Input(
                    "minimum_gap",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=0.05,
                    tooltip="Of events closer than this, in seconds, only the strongest is kept.",
                ),
                _seconds("start", "Events before this time are left out, in seconds."),
                _seconds("end", "Events from this time on are left out, in seconds. 0: up to the end."),
                fps_of_images(),
            ],
            outputs=[
                io.String.Output("event_times", tooltip="The times in seconds, '0.520, 1.200', for a task's event times."),
                io.Float.Output("times", is_output_list=True, tooltip="The times in seconds, one by one."),
                io.Image.Output("plot", tooltip="The frames or the waveform above the curve, with the events in green."),
            ],
        )

    @classmethod
    def execute(
        cls,
        media: Tensor | Input.Video | Mapping[str, Any] | None,
        sensitivity: float,
        minimum_gap: float,
        start: float,
        end: float,
        fps: float,
    ) -> io.NodeOutput:
        from ...seeing_core.metrics.events import movement_events, sound_events
        from ...seeing_core.metrics.motion import measure_motion
        from ...seeing_core.visuals.plots import events_plot

        if end and end <= start:
            raise InputError("end", f"{end:g} s", f"0, or a time after the start at {start:g} s")
        if media is None or isinstance(media, Mapping):
            sound = waveform_from(media)
            shown: dict[str, Any] = {"sound": sound}
            duration_s, events = check_duration(sound.duration_s), sound_events(sound)
        else:
            video = video_from(media, fps)
            events = movement_events(measure_motion(video, callback=StageProgress()))
            count, duration_s = len(video.times_s), video.duration_s
            indices = [round(i) for i in torch.linspace(0, count - 1, min(count, STRIP_FRAMES)).tolist()]
            shown = {"frames": torch.stack(list(video.frames(indices)))}
        chosen = events.chosen(sensitivity, minimum_gap, start, end or None)
        if not chosen:
            logging.warning("Event Times: nothing was found; with empty event times a task looks for them itself")
        plot = as_image(events_plot(events, chosen, duration_s, **shown))
        text = ", ".join(f"{time_s:.3f}" for time_s in chosen)
        return io.NodeOutput(text, chosen, plot, ui=picture(plot))


def _seconds(name: str, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=0.0, min=0.0, max=3600.0, step=0.05, advanced=True, tooltip=tooltip)
