"""Image to Audio: an image in, sound that fits it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...seeing_core.guidance.settings import AUDIO_PRESETS, AlignSettings
from ...seeing_core.guidance.targets import AlignTarget
from ..comfy.convert import audio_outputs, images_from, log_notes
from ..comfy.memory import ModelHandle, audio_bytes, on_device, retry_on_oom
from ..comfy.players import audio_player
from ..sockets import CATEGORY
from . import inputs, presets


class ImageToAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_ImageToAudio",
            display_name="Image to Audio",
            category=CATEGORY,
            has_intermediate_output=True,
            description="Makes sound that fits an image, or several images together.",
            search_aliases=["i2a", "sound from picture", "foley", "sound effect", "sfx", "ambience"],
            inputs=[
                inputs.audio_model(),
                inputs.binder(),
                io.Image.Input("image", tooltip="The image. In a batch, all images count equally."),
                inputs.prompt("heard", "waves on a beach"),
                inputs.negative_prompt("heard", "music, speech, low quality"),
                io.Float.Input(
                    "duration",
                    default=5.0,
                    min=0.3,
                    max=3600.0,
                    step=0.01,
                    tooltip="Length of the sound in seconds.",
                ),
                inputs.steps(30),
                presets.for_audio(
                    "the image and the prompt",
                    " In 'balanced', 'quality' and 'fast' it acts only when event times are given; 0 also compares no starts.",
                ),
                inputs.seed(),
                inputs.guidance_scale("guidance_scale", "AudioLDM", 2.5, "2 to 5"),
                inputs.settings(),
                inputs.targets(),
                inputs.event_times("sound", "Empty: at any time."),
                inputs.candidates("broken ones (silent, clipped, mere noise) come last"),
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
        image: Tensor,
        prompt: str,
        negative_prompt: str,
        duration: float,
        steps: int,
        seed: int,
        guidance_scale: float,
        preset: dict[str, Any] | None = None,
        settings: AlignSettings | None = None,
        targets: tuple[AlignTarget, ...] = (),
        event_times: str = "",
        candidates: int = 1,
    ) -> io.NodeOutput:
        from ...seeing_core.candidates import rank_candidates
        from ...seeing_core.tasks import TaskResult, image_to_audio

        chosen = presets.chosen_settings(
            "Image to Audio", AUDIO_PRESETS, preset, settings, targets=targets, event_times=event_times
        )
        run = inputs.run_config(inputs.seeds(seed, candidates), steps, chosen, targets, event_times)

        def work(low_memory: bool) -> TaskResult:
            with on_device(audio_model, binder, activations_bytes=audio_bytes(duration, candidates), keep=("audio",)):
                return image_to_audio(
                    audio_model.model,
                    binder.model,
                    images_from(image),
                    replace(run, low_memory=low_memory),
                    prompt=prompt,
                    negative_prompt=negative_prompt,
                    duration_s=duration,
                    guidance_scale=guidance_scale,
                )

        result = rank_candidates(retry_on_oom(work, "duration or candidates"))
        log_notes("Image to Audio", result.trace)
        return io.NodeOutput(audio_outputs(result.waveforms), result.trace, ui=audio_player(result.waveforms))
