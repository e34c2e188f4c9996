"""Empty Audio Latent for Video: an empty latent for exactly as much sound as a video lasts."""

from __future__ import annotations

import math

import comfy.model_management as management
import torch
from comfy.ldm.ace.vae.music_dcae_pipeline import MusicDCAE
from comfy.ldm.lightricks.vae.audio_vae import AudioVAE as LTXAudioVAE
from comfy.ldm.minimax.audio_vae import MiniMaxH3AudioVAE
from comfy.sd import VAE
from comfy_api.latest import Input, io
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.media.types import check_duration
from ..comfy.convert import video_from
from ..sockets import CATEGORY
from ..tasks.inputs import fps_of_images
from .decoders import samples_per_frame
from .own_models import Codec, latent_step
from .vae import NativeVae


class EmptyAudioLatentForVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SeeingHearing_EmptyAudioLatentForVideo",
            display_name="Empty Audio Latent for Video",
            category=CATEGORY + "/native models",
            description="An empty latent for as much sound as a video lasts, for any audio VAE of ComfyUI's. Latents come in whole "
            "frames, so the sound may be a little longer: Mux Audio into Video cuts it to the picture.",
            search_aliases=["empty latent audio", "stable audio latent", "length of video", "ace step latent"],
            inputs=[
                io.MultiType.Input(
                    "video",
                    types=[io.Video, io.Image],
                    tooltip="The video, or a batch of images (set fps as well).",
                ),
                io.Vae.Input("vae", tooltip="The VAE of the audio model."),
                io.Int.Input("batch_size", default=1, min=1, max=4096, tooltip="How many sounds to make in one run."),
                fps_of_images(),
            ],
            outputs=[
                io.Latent.Output("latent", tooltip="For the latent_image input of a sampler."),
                io.Float.Output("seconds", tooltip="How long the video lasts, for nodes that condition a model on it."),
            ],
        )

    @classmethod
    def execute(cls, video: Input.Video | Tensor, vae: VAE, batch_size: int, fps: float) -> io.NodeOutput:
        native = NativeVae(vae, "vae")
        if not native.hears:
            raise InputError("vae", f"{native.family}, which decodes to pictures", "the VAE of an audio model")
        duration_s = check_duration(video_from(video, fps).duration_s)
        native.load()
        layout = _layout(native)
        per_frame, offset = samples_per_frame(native, layout)
        step = latent_step(vae)
        layout[native.time_axis] = step * max(1, math.ceil((duration_s * native.rate_hz - offset) / per_frame / step))
        samples = torch.zeros(batch_size, *layout[1:], device=management.intermediate_device())
        return io.NodeOutput({"samples": samples, "type": "audio"}, duration_s)


def _layout(native: NativeVae) -> list[int]:
    """The shape of a latent of one frame."""
    channels, model = native.vae.latent_channels, native.model
    if isinstance(model, Codec):
        return [1, channels, 1, model.bands]
    if isinstance(model, MusicDCAE):
        return [1, channels, 16, 1]
    if isinstance(model, LTXAudioVAE):
        return [1, channels, 1, model.latent_frequency_bins]
    if isinstance(model, MiniMaxH3AudioVAE):
        return [1, channels, 2, 1]
    return [1, channels, *[1] * native.vae.latent_dim]
