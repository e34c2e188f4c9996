"""Video to Audio: a silent clip in, sound that fits it out."""

from __future__ import annotations

import logging

from comfy_api.latest import Input, io
from torch import Tensor

from .bridge import audio_from, film_from
from .managed import Managed, on_device
from .progress import SoundProgress
from .types import CATEGORY, AudioModel, Binder, Trace

ACTIVATION_BYTES = 3 * 2**30  # a window of 10 s through VAE, vocoder and ImageBind with gradients, rounded up
MODES = ["paper", "gradient", "x0"]


class VideoToAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_VideoToAudio",
            display_name="Video to Audio",
            category=CATEGORY,
            description="Makes sound that fits a video. AudioLDM makes the sound; while it does, ImageBind compares it "
            "with the picture and the prompt, and nudges it towards both. The sound is exactly as long as the video.",
            search_aliases=["v2a", "foley", "sound effect", "sfx", "add sound to video", "soundtrack", "audio from video"],
            inputs=[
                AudioModel.Input("audio_model", tooltip="From Load AudioLDM."),
                Binder.Input("binder", tooltip="From Load ImageBind."),
                io.MultiType.Input(
                    "video", types=[io.Video, io.Image],
                    tooltip="The video that needs sound, or a batch of images (then set fps below). Two frames or more.",
                ),
                io.String.Input(
                    "prompt", multiline=True, default="",
                    tooltip="What should be heard, in a few English words: 'a dog barking in a hall'. May stay empty: "
                    "then the picture alone decides.",
                ),
                io.String.Input(
                    "negative_prompt", multiline=True, default="",
                    tooltip="What should not be heard: 'music, speech, low quality'. May stay empty.",
                ),
                io.Int.Input(
                    "steps", default=30, min=1, max=1000,
                    tooltip="Denoise steps. More is slower and a little cleaner; 20 to 50 is usual.",
                ),
                io.Float.Input(
                    "strength", display_name="alignment strength", default=1.0, min=0.0, max=100.0, step=0.05,
                    tooltip="How strongly the sound is pulled towards the picture and the prompt. 1 is the usual rate of "
                    "the mode; 0 is plain AudioLDM, which does not see the picture; above 2 the sound may turn harsh.",
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**63 - 1, control_after_generate=True,
                    tooltip="Another seed gives another sound. The same seed and settings give the same sound again.",
                ),
                io.Float.Input(
                    "fps", default=8.0, min=0.01, max=1000.0, step=0.01, advanced=True,
                    tooltip="Frames per second of an image batch. A video knows its own; this is then not used.",
                ),
                io.Float.Input(
                    "duration", default=0.0, min=0.0, max=3600.0, step=0.01, advanced=True,
                    tooltip="Length of the sound in seconds, 0.3 or more. 0: as long as the video.",
                ),
                io.Float.Input(
                    "guidance_scale", default=2.5, min=0.0, max=100.0, step=0.1, advanced=True,
                    tooltip="How closely AudioLDM follows the prompt (classifier-free guidance). 1 is off, 2 to 5 is usual.",
                ),
                io.Combo.Input(
                    "mode", options=MODES, default="paper", advanced=True,
                    tooltip="How the sound is nudged. 'paper': the paper's released rule. 'gradient': plain gradient "
                    "descent. 'x0': the step is taken in the predicted clean sound, which keeps it closer to real sounds.",
                ),
                io.Float.Input(
                    "start_fraction", default=0.2, min=0.0, max=1.0, step=0.01, advanced=True,
                    tooltip="The part of the steps that runs unaligned at the start, from 0 to 1. 1 aligns none.",
                ),
                io.Int.Input(
                    "inner_steps", default=1, min=1, max=100, advanced=True,
                    tooltip="Nudges per denoise step. Each costs as much time as the first.",
                ),
                io.Float.Input(
                    "vision_weight", default=1.0, min=0.0, max=100.0, step=0.05, advanced=True,
                    tooltip="Weight of the picture in the alignment. 0 leaves it out.",
                ),
                io.Float.Input(
                    "text_weight", default=1.0, min=0.0, max=100.0, step=0.05, advanced=True,
                    tooltip="Weight of the prompt in the alignment. 0 leaves it out. An empty prompt is always left out.",
                ),
            ],
            outputs=[
                io.Audio.Output("audio", tooltip="The sound: mono, 16 kHz, exactly as long as asked."),
                Trace.Output("trace", tooltip="What the alignment loss did at each step; Preview as Text shows it."),
            ],
        )

    @classmethod
    def execute(
        cls, audio_model: Managed, binder: Managed, video: Input.Video | Tensor, prompt: str, negative_prompt: str,
        steps: int, strength: float, seed: int, fps: float, duration: float, guidance_scale: float, mode: str,
        start_fraction: float, inner_steps: int, vision_weight: float, text_weight: float,
    ) -> io.NodeOutput:
        from ..seeing_core.settings import AlignSettings
        from ..seeing_core.tasks import Run, video_to_audio

        settings = AlignSettings(
            mode, strength, start_fraction=start_fraction, inner_steps=inner_steps, vision_weight=vision_weight,
            text_weight=text_weight,
        )
        run = Run([seed], steps, settings, listener=SoundProgress(steps))
        with on_device(audio_model, binder, activations_bytes=ACTIVATION_BYTES):
            result = video_to_audio(
                audio_model.model, binder.model, film_from(video, fps), run, prompt=prompt,
                negative_prompt=negative_prompt, duration_s=duration if duration != 0 else None,
                guidance_scale=guidance_scale,
            )
        for note in result.trace.notes:
            logging.warning("Video to Audio: %s", note)
        return io.NodeOutput(audio_from(result.sounds), result.trace)
