"""Video to Audio: a silent clip in, sound that fits it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.guidance.settings import AUDIO_PRESETS, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from ..comfy.convert import audio_outputs, log_notes, video_from
from ..comfy.memory import ModelHandle, audio_bytes, on_device, retry_on_oom
from ..comfy.players import audio_player
from ..comfy.progress import StageProgress
from ..sockets import CATEGORY
from . import inputs, presets


class VideoToAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_VideoToAudio",
            display_name="Video to Audio",
            category=CATEGORY,
            has_intermediate_output=True,
            description="Makes sound that fits a video. AudioLDM makes the sound; meanwhile the binder compares it "
            "with the video and the prompt and guides it towards both. The sound is exactly as long as the video.",
            search_aliases=["v2a", "foley", "sound effect", "sfx", "add sound to video", "soundtrack", "audio from video"],
            inputs=[
                inputs.audio_model(),
                inputs.binder(),
                io.MultiType.Input(
                    "video",
                    types=[io.Video, io.Image],
                    tooltip="The video that needs sound, or a batch of images (set fps as well). Two frames or more.",
                ),
                inputs.prompt("heard", "a dog barking in a hall"),
                inputs.negative_prompt("heard", "music, speech, low quality"),
                inputs.steps(30),
                presets.for_audio(
                    "the video and the prompt",
                    " In 'balanced', 'quality' and 'fast' it only moves sounds in time; 0 also compares no starts.",
                ),
                inputs.seed(),
                inputs.fps_of_images(),
                io.Float.Input(
                    "duration",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Length of the sound in seconds, 0.3 or more. 0: as long as the video.",
                ),
                inputs.guidance_scale("guidance_scale", "AudioLDM", 2.5, "2 to 5"),
                inputs.settings(),
                inputs.targets(),
                inputs.event_times("sound", "Empty: when something moves in the video."),
                inputs.candidates(),
            ],
            outputs=[
                inputs.audio_result(),
                inputs.trace_result(),
            ],
        )

    @classmethod
    def execute(
        cls,
        audio_model: ModelHandle,
        binder: ModelHandle,
        video: Input.Video | Tensor,
        prompt: str,
        negative_prompt: str,
        steps: int,
        seed: int,
        fps: float,
        duration: float,
        guidance_scale: float,
        preset: dict[str, Any] | None = None,
        settings: AlignSettings | None = None,
        targets: tuple[AlignTarget, ...] = (),
        event_times: str = "",
        candidates: int = 1,
    ) -> io.NodeOutput:
        from ...seeing_core.candidates import rank_candidates
        from ...seeing_core.tasks import TaskResult, video_to_audio

        chosen = presets.chosen_settings(
            "Video to Audio", AUDIO_PRESETS, preset, settings, targets=targets, event_times=event_times
        )
        run = inputs.run_config(inputs.seeds(seed, candidates), steps, chosen, targets, event_times)
        source = video_from(video, fps)
        duration_s = source.duration_s if duration == 0 else duration

        def work(low_memory: bool) -> TaskResult:
            with on_device(audio_model, binder, activations_bytes=audio_bytes(duration_s, candidates), keep=("audio",)):
                return video_to_audio(
                    audio_model.model,
                    binder.model,
                    source,
                    replace(run, low_memory=low_memory),
                    prompt=prompt,
                    negative_prompt=negative_prompt,
                    duration_s=duration_s,
                    guidance_scale=guidance_scale,
                )

        made = retry_on_oom(work, "duration or candidates")
        result = rank_candidates(made, video=source, motion_callback=StageProgress())
        log_notes("Video to Audio", result.trace)
        return io.NodeOutput(audio_outputs(result.waveforms), result.trace, ui=audio_player(result.waveforms))
