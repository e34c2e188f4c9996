"""AudioLDM and AnimateDiff as ComfyUI's own kinds of model: a MODEL for its samplers, a CLIP for its prompts, a VAE.

All three are clones of one patcher, so that ComfyUI knows that they are the same weights.
"""

from __future__ import annotations

from typing import Any

import comfy.latent_formats
import comfy.model_management as management
import torch
from comfy.model_base import BaseModel, ModelType
from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from comfy.supported_models_base import BASE
from torch import Tensor, nn

from ...seeing_core.errors import InputError
from ...seeing_core.generators.animatediff import AnimateDiff, ConditionedAnimateDiff
from ...seeing_core.generators.audioldm import LATENT_STEP, AudioLDM, ConditionedAudioLDM
from ...seeing_core.generators.base import NoiseLevel
from ..comfy.memory import ModelHandle

SamplesModel = AudioLDM | AnimateDiff


class LatentFormat(comfy.latent_formats.LatentFormat):
    """Of a model's own scale and size."""

    def __init__(self, model: SamplesModel) -> None:
        config = model.vae.config
        self.latent_channels, self.scale_factor = config.latent_channels, float(config.scaling_factor)
        self.latent_dimensions = 2 if isinstance(model, AudioLDM) else 3


class NativeModel(BaseModel):
    """A model of the core as ComfyUI's samplers call it: any number of noise levels between those it was trained on."""

    def __init__(self, model: SamplesModel) -> None:
        config = BASE({"disable_unet_model_creation": True})
        config.latent_format = LatentFormat(model)
        config.manual_cast_dtype = torch.float32  # latents stay in it, whatever the weights are in
        super().__init__(config, ModelType.EPS)
        bars = model.scheduler.alphas_cumprod
        self.model_sampling.set_sigmas(((1 - bars) / bars).sqrt())
        self.diffusion_model = Network(model)


class Network(nn.Module):
    """The noise estimate for one prompt; ComfyUI does the classifier-free guidance."""

    def __init__(self, model: SamplesModel) -> None:
        super().__init__()
        self.model = model

    @property
    def dtype(self) -> torch.dtype:
        return self.model.unet.dtype

    def forward(self, z: Tensor, t: Tensor, context: Tensor, **_: Any) -> Tensor:
        """z (B, C, ...), t (B,), context (B, tokens, D) -> eps like z; something long in windows."""
        model, one = self.model, context[:1]
        if isinstance(model, AudioLDM):
            duration_s = z.shape[2] * model.samples_per_latent / model.rate_hz
            prompt = context[:, 0]
            audio = ConditionedAudioLDM(model, prompt, one[:, 0], duration_s, 1.0)
            return audio.predict_noise(z, NoiseLevel(t, 1.0, 0.0), prompt, cfg=False)
        height, width = (side * model.pixels_per_latent for side in z.shape[-2:])
        video = ConditionedAnimateDiff(model, context, one, z.shape[2], 8.0, width, height, 1.0)
        return video.predict_noise(z, NoiseLevel(t, 1.0, 0.0), context, cfg=False)


class Prompts:
    """What CLIP Text Encode asks of a CLIP."""

    def __init__(self, patcher: ModelPatcher, model: SamplesModel) -> None:
        self.patcher, self.model = patcher, model

    def tokenize(self, text: str, **_: Any) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str, add_dict: dict[str, Any] | None = None, **_: Any) -> list[Any]:
        management.load_models_gpu([self.patcher], force_full_load=True)
        embedding = self.model.embed_prompt([tokens]).to(management.intermediate_device())  # (1, D) or (1, 77, D)
        return [[embedding.view(1, -1, embedding.shape[-1]), add_dict or {}]]


class Codec(nn.Module):
    """What a latent without its scale decodes to: (B, 1, n) samples, or (B, 3, F, H, W) pixels, -1..1."""

    def __init__(self, model: SamplesModel) -> None:
        super().__init__()
        self.parts = nn.ModuleList([model.vae, *([model.vocoder] if isinstance(model, AudioLDM) else [])])
        self._model = [model]  # not a part of its own

    @property
    def bands(self) -> int:
        """Of an audio latent, (B, C, L, bands)."""
        model = self._model[0]
        return model.vocoder.config.model_in_dim // model.mel_per_latent

    def decode(self, latents: Tensor) -> Tensor:
        model = self._model[0]
        scaled = latents * model.vae.config.scaling_factor
        if isinstance(model, AudioLDM):
            return model.vocode(model.decode_mel(scaled))[:, None]
        return model.decode(scaled).transpose(1, 2) * 2 - 1

    def encode(self, _: Tensor) -> Tensor:
        raise InputError("vae", f"{self._model[0].name}'s, to encode with", "a VAE that can encode", "This one only decodes.")


class CodecVae(VAE):
    """The VAE of a model of the core. It is loaded as the whole model, of which it is a part."""

    def __init__(self, patcher: ModelPatcher, model: SamplesModel) -> None:
        self.first_stage_model, self.patcher = Codec(model).eval(), patcher
        self.device, self.output_device = patcher.load_device, management.intermediate_device()
        self.vae_dtype, self.working_dtypes = model.vae.dtype, [model.vae.dtype]
        self.latent_channels, self.disable_offload, self.size = model.vae.config.latent_channels, True, None
        self.extra_1d_channel = self.pad_channel_value = self.upscale_index_formula = self.downscale_index_formula = None
        self.crop_input, self.handles_tiling, self.not_video, self.format_encoded = True, False, False, None
        self.process_input = lambda media: media
        if isinstance(model, AudioLDM):
            self.latent_dim, self.output_channels, self.audio_sample_rate = 2, 1, model.rate_hz
            self.upscale_ratio = self.downscale_ratio = model.samples_per_latent
            self.process_output = lambda audio: audio
            per_number = 2 * 10**5  # bytes for one of the latent's numbers, through VAE and vocoder
        else:
            self.latent_dim, self.output_channels, self.audio_sample_rate = 3, 3, 44100
            self.upscale_ratio = self.downscale_ratio = (lambda frames: frames, *[model.pixels_per_latent] * 2)
            self.process_output = lambda image: image.add_(1.0).div_(2.0).clamp_(0.0, 1.0)
            per_number = 10**5
        self.memory_used_decode = self.memory_used_encode = lambda shape, _: torch.Size(shape).numel() * per_number


def native_parts(handle: ModelHandle) -> tuple[ModelPatcher, Prompts, CodecVae]:
    """MODEL, CLIP and VAE of a handle that was loaded with `NativeModel` round its model."""
    patcher = handle.patchers[""]
    return patcher.clone(), Prompts(patcher.clone(), handle.model), CodecVae(patcher.clone(), handle.model)


def latent_step(vae: VAE) -> int:
    """The number of latent frames that an audio model's latents are a multiple of."""
    return LATENT_STEP if isinstance(vae, CodecVae) else 1
