"""Video to Audio: a silent clip in, sound that fits it out."""

from __future__ import annotations

from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.guidance.settings import AUDIO_PRESETS, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from . import inputs
from ..comfy.convert import audio_output, video_from, log_notes
from ..comfy.memory import SOUND_BYTES, ModelHandle, on_device, retry_on_oom
from ..comfy.players import audio_player
from .progress import TaskProgress
from ..sockets import CATEGORY, Trace


class VideoToAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_VideoToAudio",
            display_name="Video to Audio",
            category=CATEGORY,
            has_intermediate_output=True,
            description="Makes sound that fits a video. AudioLDM makes the sound; while it does, ImageBind compares it "
            "with the picture and the prompt, and nudges it towards both. The sound is exactly as long as the video.",
            search_aliases=["v2a", "foley", "sound effect", "sfx", "add sound to video", "soundtrack", "audio from video"],
            inputs=[
                inputs.audio_model(),
                inputs.binder(),
                io.MultiType.Input(
                    "video", types=[io.Video, io.Image],
                    tooltip="The video that needs sound, or a batch of images (then set fps). Two frames or more.",
                ),
                inputs.prompt("heard", "a dog barking in a hall"),
                inputs.negative_prompt("heard", "music, speech, low quality"),
                inputs.steps(30),
                inputs.strength("the picture and the prompt"),
                inputs.seed(),
                inputs.fps_of_images(),
                io.Float.Input(
                    "duration", default=0.0, min=0.0, max=3600.0, step=0.01, advanced=True,
                    tooltip="Length of the sound in seconds, 0.3 or more. 0: as long as the video.",
                ),
                inputs.guidance_scale("guidance_scale", "AudioLDM", 2.5, "2 to 5"),
                inputs.preset(),
                inputs.vision_weight(advanced=True),
                inputs.text_weight(advanced=True),
                inputs.settings(),
                inputs.targets(),
                inputs.words("the video"),
                inputs.event_times("sound"),
                inputs.candidates(),
            ],
            outputs=[
                io.Audio.Output("audio", tooltip="The sound: mono, 16 kHz, exactly as long as asked."),
                Trace.Output("trace", tooltip="What the alignment loss did at each step; Preview as Text shows it."),
            ],
        )

    @classmethod
    def execute(
        cls, audio_model: ModelHandle, binder: ModelHandle, video: Input.Video | Tensor, prompt: str, negative_prompt: str,
        steps: int, strength: float, seed: int, fps: float, duration: float, guidance_scale: float, preset: str,
        vision_weight: float, text_weight: float, settings: AlignSettings | None = None,
        targets: tuple[AlignTarget, ...] = (), words: bool = True, event_times: str = "", candidates: int = 1,
    ) -> io.NodeOutput:
        from ...seeing_core.candidates import rank_candidates
        from ...seeing_core.tasks import TaskResult, RunConfig, video_to_audio

        settings = settings or AUDIO_PRESETS[preset].scaled(strength, words=words).weighted(
            vision=vision_weight, text=text_weight)
        run = RunConfig(inputs.seeds(seed, candidates), steps, settings, targets, event_times, TaskProgress(steps))
        video = video_from(video, fps)

        def work() -> TaskResult:
            with on_device(audio_model, binder, activations_bytes=SOUND_BYTES, stays=("audio",)):
                return video_to_audio(
                    audio_model.model, binder.model, video, run, prompt=prompt,
                    negative_prompt=negative_prompt, duration_s=duration if duration != 0 else None,
                    guidance_scale=guidance_scale,
                )

        result = rank_candidates(retry_on_oom(work, "duration or candidates"), video=video)
        log_notes("Video to Audio", result.trace)
        audio = audio_output(result.waveforms)
        return io.NodeOutput(audio, result.trace, ui=audio_player(audio))
