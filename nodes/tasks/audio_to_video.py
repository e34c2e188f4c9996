"""Audio to Video: a sound in, frames that fit it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ...seeing_core.guidance.settings import VIDEO_PRESETS, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from ..comfy.convert import image_outputs, log_notes, waveform_from
from ..comfy.memory import ModelHandle, on_device, retry_on_oom, video_bytes
from ..comfy.players import video_player
from ..comfy.progress import StageProgress
from ..sockets import CATEGORY
from . import inputs, presets


class AudioToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_AudioToVideo",
            display_name="Audio to Video",
            category=CATEGORY,
            has_intermediate_output=True,
            description="Makes a video that fits a sound. AnimateDiff makes the frames; meanwhile the binder compares "
            "them with the sound and the prompt and guides them towards both. The video is as long as the sound.",
            search_aliases=["a2v", "audio reactive", "sound to video", "music video", "visualizer"],
            inputs=[
                inputs.video_model(),
                inputs.binder(),
                io.Audio.Input("audio", tooltip="The sound. Of a batch, only the first is used."),
                inputs.prompt("seen", "a dog barking in a garden"),
                inputs.negative_prompt("seen", "blurry, text, watermark"),
                inputs.steps(25),
                presets.for_video("the sound and the prompt"),
                inputs.fps_to_make(),
                inputs.seed(),
                io.Float.Input(
                    "duration",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Length of the video in seconds, 0.3 or more. 0: as long as the sound.",
                ),
                *inputs.sides(),
                inputs.guidance_scale("guidance_scale", "AnimateDiff", 7.5, "5 to 10"),
                inputs.settings(),
                inputs.targets(),
                inputs.event_times("move", "Empty: when something starts to sound."),
                inputs.candidates(),
            ],
            outputs=[
                inputs.images_result(),
                io.Float.Output("fps", tooltip="Their frames per second, for Create Video or Mux Audio into Video."),
                inputs.trace_result(),
            ],
        )

    @classmethod
    def execute(
        cls,
        video_model: ModelHandle,
        binder: ModelHandle,
        audio: dict[str, Any],
        prompt: str,
        negative_prompt: str,
        steps: int,
        fps: float,
        seed: int,
        duration: float,
        width: int,
        height: int,
        guidance_scale: float,
        preset: dict[str, Any] | None = None,
        settings: AlignSettings | None = None,
        targets: tuple[AlignTarget, ...] = (),
        event_times: str = "",
        candidates: int = 1,
    ) -> io.NodeOutput:
        from ...seeing_core.candidates import rank_candidates
        from ...seeing_core.tasks import TaskResult, audio_to_video

        chosen = presets.chosen_settings(
            "Audio to Video", VIDEO_PRESETS, preset, settings, targets=targets, event_times=event_times
        )
        waveform = waveform_from(audio)
        duration_s = waveform.duration_s if duration == 0 else duration
        run = inputs.run_config(inputs.seeds(seed, candidates), steps, chosen, targets, event_times)
        needed = video_bytes(video_model, width, height, duration_s * fps, candidates)

        def work(low_memory: bool) -> TaskResult:
            with on_device(video_model, binder, activations_bytes=needed, keep=("vision",)):
                return audio_to_video(
                    video_model.model,
                    binder.model,
                    waveform,
                    replace(run, low_memory=low_memory),
                    prompt=prompt,
                    negative_prompt=negative_prompt,
                    duration_s=duration_s,
                    fps=fps,
                    width=width,
                    height=height,
                    guidance_scale=guidance_scale,
                )

        made = retry_on_oom(work, "width, height, duration or candidates")
        result = rank_candidates(made, audio=waveform, motion_callback=StageProgress(candidates))
        log_notes("Audio to Video", result.trace)
        player = video_player(result.videos, [waveform] * len(result.videos))
        return io.NodeOutput(image_outputs(result.videos), fps, result.trace, ui=player)
