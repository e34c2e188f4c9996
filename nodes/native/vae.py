"""ComfyUI's VAEs as functions that gradients can flow through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_management as management
import torch
from comfy.ldm.ace.vae.music_dcae_pipeline import MusicDCAE
from comfy.ldm.audio.vae_sa3 import SA3AudioVAE
from comfy.ldm.lightricks.vae.audio_vae import AudioVAE as LTXAudioVAE
from comfy.ldm.lightricks.vae.causal_video_autoencoder import VideoVAE as LTXVideoVAE
from comfy.ldm.mmaudio.vae.autoencoder import AudioAutoencoder as MMAudioVAE
from comfy.sd import VAE
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.precision import to_fp32
from ..comfy.memory import enable_autograd, without_inference_tensors
from .own_models import Codec

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class NativeVae:
    """A VAE of ComfyUI's.

    name: of the input it came by.  hears: whether it decodes to sound.  time_axis: of its latents.
    Raises InputError for weights that gradients cannot flow through.
    """

    def __init__(self, vae: VAE, name: str) -> None:
        self.vae, self.name = vae, name
        vae.throw_exception_if_invalid()
        self.model: Any = vae.first_stage_model
        self.family = type(self.model).__name__
        odd = {str(weight.dtype).removeprefix("torch.") for weight in self.model.parameters() if weight.dtype not in FLOATS}
        if odd:
            raise InputError(name, f"{self.family} with weights in {', '.join(sorted(odd))}", "a VAE in fp32, bf16 or fp16")
        self.hears = vae.output_channels <= 2
        # Audio latents are (B, C, T), (B, C, bands, T) or, of these families, (B, C, T, bands); those of videos (B, C, T, H, W).
        self.time_axis = 2 if isinstance(self.model, (LTXAudioVAE, Codec)) or not self.hears else -1
        self._decode = _differentiable(self.model)

    @property
    def rate_hz(self) -> int:
        """Of the sound it decodes to."""
        # The attribute exists only where what is decoded has another rate than what is encoded.
        return int(getattr(self.vae, "audio_sample_rate_output", self.vae.audio_sample_rate))

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether latents of this shape, (B, C, ...), can be its own."""
        # A VAE of single pictures decodes a video's latents frame by frame.
        dims = {self.vae.latent_dim, 3} if self.vae.latent_dim == 2 and not self.hears else {self.vae.latent_dim}
        return shape[1] == self.vae.latent_channels and len(shape) - 2 in dims

    def load(self) -> None:
        """Onto the device, beside what is in use."""
        management.load_models_gpu([self.vae.patcher])
        with enable_autograd():
            without_inference_tensors(self.model)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, ...) -> what the VAE decodes them to, not clipped, in at least single precision;
        differentiable.

        Where a VAE adds noise of its own it is the same at every call. Raises InputError for a VAE that stops gradients.
        """
        with torch.random.fork_rng([latents.device] if latents.is_cuda else []):
            torch.manual_seed(0)
            decoded = to_fp32(self._decode(latents.to(self.vae.vae_dtype)))
        if latents.requires_grad and torch.is_grad_enabled() and not decoded.requires_grad:
            raise InputError(self.name, f"{self.family}, which lets no gradients through", "a VAE that does")
        return decoded


def _differentiable(model: Any) -> Callable[[Tensor], Tensor]:
    """`model.decode`; the parts that it is made of where its author has switched gradients off for it.

    ComfyUI 0.30.0; tests compare each with `decode`.
    """
    if isinstance(model, LTXVideoVAE):  # would collect its frames on the CPU

        def ltx(latents: Tensor) -> Tensor:
            shape = model.decode_output_shape(latents.shape)
            return model.decode(latents, output_buffer=torch.empty(shape, dtype=latents.dtype, device=latents.device))

        return ltx
    if isinstance(model, MusicDCAE):
        low, high = model.min_mel_value, model.max_mel_value

        def ace_step(latents: Tensor) -> Tensor:
            mels = model.dcae.decoder(latents / model.scale_factor + model.shift_factor) * 0.5 + 0.5
            return torch.stack([model.vocoder(mel).squeeze(1) for mel in mels * (high - low) + low])

        return ace_step
    if isinstance(model, SA3AudioVAE):
        return lambda latents: model.pretransform.decode(model.decoder(model.bottleneck.decode(latents)))
    if isinstance(model, MMAudioVAE):
        return lambda latents: type(model).decode.__wrapped__(model, latents)
    return model.decode
