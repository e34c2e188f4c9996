"""Audio to Video: a sound in, frames that fit it out."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...seeing_core.guidance.settings import VIDEO_PRESETS, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from . import inputs
from ..comfy.convert import image_output, log_notes, waveform_from
from ..comfy.memory import PICTURE_BYTES, ModelHandle, on_device, retry_on_oom
from ..comfy.players import video_player
from .progress import TaskProgress
from ..sockets import CATEGORY, Trace


class AudioToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_AudioToVideo",
            display_name="Audio to Video",
            category=CATEGORY,
            has_intermediate_output=True,
            description="Makes a film that fits a sound. AnimateDiff makes the frames; while it does, ImageBind compares "
            "them with the sound and the prompt, and nudges them towards both. The film is as long as the sound.",
            search_aliases=["a2v", "audio reactive", "sound to video", "music video", "visualizer"],
            inputs=[
                inputs.video_model(),
                inputs.binder(),
                io.Audio.Input("audio", tooltip="The sound. Of a batch, the first."),
                inputs.prompt("seen", "a dog barking in a garden"),
                inputs.negative_prompt("seen", "blurry, text, watermark"),
                inputs.steps(25),
                inputs.strength("the sound and the prompt", "latent strength"),
                inputs.prompt_strength(),
                inputs.fps_to_make(),
                inputs.seed(),
                io.Float.Input(
                    "duration", default=0.0, min=0.0, max=3600.0, step=0.01, advanced=True,
                    tooltip="Length of the film in seconds, 0.3 or more. 0: as long as the sound.",
                ),
                *inputs.sides(),
                inputs.guidance_scale("guidance_scale", "AnimateDiff", 7.5, "5 to 10"),
                inputs.settings(),
                inputs.targets(),
                inputs.picture_preset(),
                inputs.words("the sound"),
                inputs.event_times("move"),
                inputs.candidates(),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The frames, in order."),
                io.Float.Output("fps", tooltip="Their frames per second, for Create Video or Mux Audio into Video."),
                Trace.Output("trace", tooltip="What the alignment loss did at each step; Preview as Text shows it."),
            ],
        )

    @classmethod
    def execute(
        cls, video_model: ModelHandle, binder: ModelHandle, audio: dict[str, Any], prompt: str, negative_prompt: str, steps: int,
        strength: float, prompt_strength: float, fps: float, seed: int, duration: float, width: int, height: int,
        guidance_scale: float, settings: AlignSettings | None = None, targets: tuple[AlignTarget, ...] = (),
        preset: str = "balanced", words: bool = True, event_times: str = "", candidates: int = 1,
    ) -> io.NodeOutput:
        from ...seeing_core.candidates import rank_candidates
        from ...seeing_core.tasks import TaskResult, RunConfig, audio_to_video

        settings = settings or VIDEO_PRESETS[preset].scaled(strength, prompt_strength, words=words)
        sound = waveform_from(audio)
        run = RunConfig(inputs.seeds(seed, candidates), steps, settings, targets, event_times, TaskProgress(steps))

        def work() -> TaskResult:
            with on_device(video_model, binder, activations_bytes=PICTURE_BYTES, stays=("vision",)):
                return audio_to_video(
                    video_model.model, binder.model, sound, run, prompt=prompt, negative_prompt=negative_prompt,
                    duration_s=duration if duration != 0 else None, fps=fps, width=width, height=height,
                    guidance_scale=guidance_scale,
                )

        result = rank_candidates(retry_on_oom(work, "width, height, duration or candidates"), sound=sound)
        log_notes("Audio to Video", result.trace)
        player = video_player(result.videos, [sound] * len(result.videos))
        return io.NodeOutput(image_output(result.videos), fps, result.trace, ui=player)
