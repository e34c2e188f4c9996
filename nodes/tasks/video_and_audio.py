"""Video and Audio Together: a text in, a video with its sound out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ...seeing_core.guidance.settings import JOINT_PRESETS, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from ..comfy.convert import audio_outputs, image_outputs, log_notes
from ..comfy.memory import (
    ModelHandle,
    audio_bytes,
    on_device,
    retry_on_oom,
    video_bytes,
)
from ..comfy.players import video_player
from ..comfy.progress import StageProgress
from ..sockets import CATEGORY
from . import inputs, presets


class VideoAndAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_VideoAndAudio",
            display_name="Video and Audio Together",
            category=CATEGORY,
            has_intermediate_output=True,
            description="Makes a video and its sound at once from a text. AnimateDiff and AudioLDM work in lock-step, "
            "and the binder guides video, audio and text towards each other.",
            search_aliases=["joint", "joint-va", "text to video with sound", "t2av", "sounding video"],
            inputs=[
                inputs.video_model(),
                inputs.audio_model(),
                inputs.binder(),
                inputs.prompt("seen and heard", "a train passing over a bridge"),
                inputs.negative_prompt("seen and heard", "blurry, text, music"),
                io.Float.Input(
                    "duration",
                    default=2.0,
                    min=0.3,
                    max=3600.0,
                    step=0.01,
                    tooltip="Length of the video and of its sound, in seconds.",
                ),
                inputs.steps(25),
                presets.for_both(),
                inputs.seed(),
                inputs.fps_to_make(advanced=True),
                *inputs.sides(),
                inputs.guidance_scale("video_guidance_scale", "AnimateDiff", 7.5, "5 to 10"),
                inputs.guidance_scale("audio_guidance_scale", "AudioLDM", 2.5, "2 to 5"),
                inputs.settings(),
                inputs.targets(),
                inputs.candidates(),
            ],
            outputs=[
                inputs.images_result(),
                inputs.audio_result(),
                io.Float.Output("fps", tooltip="Frames per second, for Create Video or Mux Audio into Video."),
                inputs.trace_result(),
            ],
        )

    @classmethod
    def execute(
        cls,
        video_model: ModelHandle,
        audio_model: ModelHandle,
        binder: ModelHandle,
        prompt: str,
        negative_prompt: str,
        duration: float,
        steps: int,
        seed: int,
        fps: float,
        width: int,
        height: int,
        video_guidance_scale: float,
        audio_guidance_scale: float,
        preset: dict[str, Any] | None = None,
        settings: AlignSettings | None = None,
        targets: tuple[AlignTarget, ...] = (),
        candidates: int = 1,
    ) -> io.NodeOutput:
        from ...seeing_core.candidates import rank_candidates
        from ...seeing_core.tasks import TaskResult, video_and_audio

        chosen = presets.chosen_settings("Video and Audio Together", JOINT_PRESETS, preset, settings, targets=targets)
        run = inputs.run_config(inputs.seeds(seed, candidates), steps, chosen, targets)
        needed = video_bytes(video_model, width, height, duration * fps, candidates) + audio_bytes(duration, candidates)

        def work(low_memory: bool) -> TaskResult:
            with on_device(video_model, audio_model, binder, activations_bytes=needed, keep=("vision", "audio")):
                return video_and_audio(
                    video_model.model,
                    audio_model.model,
                    binder.model,
                    replace(run, low_memory=low_memory),
                    prompt=prompt,
                    negative_prompt=negative_prompt,
                    duration_s=duration,
                    fps=fps,
                    width=width,
                    height=height,
                    video_guidance_scale=video_guidance_scale,
                    audio_guidance_scale=audio_guidance_scale,
                )

        made = retry_on_oom(work, "width, height, duration or candidates")
        result = rank_candidates(made, motion_callback=StageProgress(candidates))
        log_notes("Video and Audio Together", result.trace)
        player = video_player(result.videos, result.waveforms)
        return io.NodeOutput(image_outputs(result.videos), audio_outputs(result.waveforms), fps, result.trace, ui=player)
