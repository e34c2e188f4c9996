"""Image to Audio: a picture in, sound that fits it out."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ...seeing_core.guidance.settings import AUDIO_PRESETS, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from . import inputs
from ..comfy.convert import audio_output, log_notes, images_from
from ..comfy.memory import SOUND_BYTES, ModelHandle, on_device, retry_on_oom
from ..comfy.players import audio_player
from .progress import TaskProgress
from ..sockets import CATEGORY, Trace


class ImageToAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_ImageToAudio",
            display_name="Image to Audio",
            category=CATEGORY,
            has_intermediate_output=True,
            description="Makes sound that fits a picture, or several pictures together.",
            search_aliases=["i2a", "sound from picture", "foley", "sound effect", "sfx", "ambience"],
            inputs=[
                inputs.audio_model(),
                inputs.binder(),
                io.Image.Input("image", tooltip="The picture. Of a batch, all pictures count alike."),
                inputs.prompt("heard", "waves on a beach"),
                inputs.negative_prompt("heard", "music, speech, low quality"),
                io.Float.Input(
                    "duration", default=5.0, min=0.3, max=3600.0, step=0.01,
                    tooltip="Length of the sound in seconds.",
                ),
                inputs.steps(30),
                inputs.strength("the picture and the prompt"),
                inputs.seed(),
                inputs.guidance_scale("guidance_scale", "AudioLDM", 2.5, "2 to 5"),
                inputs.preset(),
                inputs.settings(),
                inputs.targets(),
                inputs.words("the picture"),
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
        cls, audio_model: ModelHandle, binder: ModelHandle, image: Tensor, prompt: str, negative_prompt: str, duration: float,
        steps: int, strength: float, seed: int, guidance_scale: float, preset: str,
        settings: AlignSettings | None = None,
        targets: tuple[AlignTarget, ...] = (), words: bool = True, event_times: str = "", candidates: int = 1,
    ) -> io.NodeOutput:
        from ...seeing_core.candidates import rank_candidates
        from ...seeing_core.tasks import TaskResult, RunConfig, image_to_audio

        settings = settings or AUDIO_PRESETS[preset].scaled(strength, words=words)
        run = RunConfig(inputs.seeds(seed, candidates), steps, settings, targets, event_times, TaskProgress(steps))

        def work() -> TaskResult:
            with on_device(audio_model, binder, activations_bytes=SOUND_BYTES, stays=("audio",)):
                return image_to_audio(
                    audio_model.model, binder.model, images_from(image), run, prompt=prompt,
                    negative_prompt=negative_prompt, duration_s=duration, guidance_scale=guidance_scale,
                )

        result = rank_candidates(retry_on_oom(work, "duration or candidates"))
        log_notes("Image to Audio", result.trace)
        audio = audio_output(result.waveforms)
        return io.NodeOutput(audio, result.trace, ui=audio_player(audio))
