"""AudioLDM (Liu et al., ICML 2023) as components: text -> latent -> log-mel -> waveform, with no pipeline class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import check_number
from ..media.types import Segment, check_duration, fit_length
from ..precision import to_fp32
from .base import NoiseLevel, StepSizes, cfg_noise, diffusion_levels, seeded_noise
from .checkpointing import checkpointed
from .prompts import tokens, unread_part
from .windows import Window, blend, in_windows, split

WINDOW_S = 10.24
OVERLAP_S = 2.56
LATENT_STEP = 8  # the UNet halves its input three times: a latent length of 8 k frames passes it unpadded
GUIDANCE_SCALE = 2.5
# "paper": published (§4.1 of the paper). The others were found on the pocket models.
STEP_SIZES = StepSizes({"paper": 0.1, "gradient": 30.0, "x0": 0.15, "unet": 0.2}, prompt=0.6)


class AudioLDM(nn.Module):
    """The components of an AudioLDM checkpoint; the weights are frozen. All sizes come from their configurations."""

    name = "AudioLDM"
    unet: Any  # diffusers and transformers classes, whose attributes their type hints hide
    vae: Any
    vocoder: Any
    text_encoder: Any

    def __init__(
        self, unet: nn.Module, vae: nn.Module, vocoder: nn.Module, text_encoder: nn.Module, tokenizer: Any, scheduler: Any
    ) -> None:
        super().__init__()
        self.unet, self.vae, self.vocoder, self.text_encoder = unet, vae, vocoder, text_encoder
        self.tokenizer, self.scheduler = tokenizer, scheduler
        self.eval().requires_grad_(False)
        self.rate_hz: int = self.vocoder.config.sampling_rate
        self.hop = math.prod(self.vocoder.config.upsample_rates)  # samples per mel frame
        self.mel_per_latent = 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def samples_per_latent(self) -> int:
        return self.hop * self.mel_per_latent

    @property
    def placed_on(self) -> torch.device:
        return self.unet.device  # not named `device`: model managers set that attribute themselves

    def unread(self, prompt: str) -> str:
        """The end of the prompt that CLAP's text encoder does not read."""
        return unread_part(self.tokenizer, prompt)

    @torch.no_grad()
    def embed_prompt(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), D) CLAP text embeddings of length 1."""
        batch = tokens(self.tokenizer, prompts).to(self.placed_on)
        output = self.text_encoder(batch.input_ids, attention_mask=batch.attention_mask)
        return normalize(to_fp32(output.text_embeds), dim=-1)

    def conditioned(
        self,
        prompts: Sequence[str],
        negative_prompt: str = "",
        *,
        duration_s: float,
        guidance_scale: float | None = None,
        low_memory: bool = False,
    ) -> ConditionedAudioLDM:
        """The generator of one run.  prompts: one for all samples of the run, or one for each."""
        scale = check_number("guidance scale", GUIDANCE_SCALE if guidance_scale is None else guidance_scale, 0, 100)
        *positive, negative = self.embed_prompt([*prompts, negative_prompt]).split(1)
        return ConditionedAudioLDM(self, torch.cat(positive), negative, check_duration(duration_s), scale, low_memory)

    def decode_mel(self, z: Tensor) -> Tensor:
        """z (B, C, L, F) -> log-mel (B, 4 L, 64) at 100 frames a second; differentiable."""
        scaled = (z / self.vae.config.scaling_factor).to(self.vae.dtype)
        return to_fp32(self.vae.decode(scaled).sample.squeeze(1))

    def vocode(self, log_mel: Tensor, *, low_memory: bool = False) -> Tensor:
        """log-mel (B, T, 64) -> waveform (B, T * hop) at `rate_hz`; differentiable."""
        waveform = to_fp32(checkpointed(self.vocoder, log_mel.to(self.vocoder.dtype), when=low_memory))
        return fit_length(waveform.view(len(log_mel), -1), log_mel.shape[1] * self.hop)


@dataclass(frozen=True)
class ConditionedAudioLDM:
    """AudioLDM with prompts and a length set: the `AudioGenerator` of one run.

    positive, negative: (1 or B, D) and (1, D) prompt embeddings; the first is only where the tuned prompt of a run starts
    from.  guidance_scale: w of classifier-free guidance; 1 is off.  low_memory: activations are computed twice.
    """

    model: AudioLDM
    positive: Tensor
    negative: Tensor
    duration_s: float
    guidance_scale: float = GUIDANCE_SCALE
    low_memory: bool = False
    step_sizes = STEP_SIZES

    @property
    def rate_hz(self) -> int:
        return self.model.rate_hz

    @property
    def length(self) -> int:
        """Samples asked for."""
        return round(self.duration_s * self.rate_hz)

    @property
    def latent_length(self) -> int:
        return math.ceil(self.length / self.model.samples_per_latent / LATENT_STEP) * LATENT_STEP

    @cached_property
    def windows(self) -> list[Window]:
        """Windows of at most 10.24 s, in latent frames."""
        frames_per_s = self.rate_hz / self.model.samples_per_latent
        size, overlap = (round(s * frames_per_s / LATENT_STEP) * LATENT_STEP for s in (WINDOW_S, OVERLAP_S))
        return split(self.latent_length, size, overlap)

    @cached_property
    def windows_s(self) -> list[Segment]:
        return [
            (window.start / self.rate_hz, min(window.stop, self.length) / self.rate_hz)
            for window in (window.scaled(self.model.samples_per_latent) for window in self.windows)
        ]

    @property
    def onset_step_s(self) -> float:
        return self.model.hop / self.rate_hz

    @property
    def onset_start_s(self) -> float:
        return self.onset_step_s

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        config = self.model.unet.config
        freqs = self.model.vocoder.config.model_in_dim // self.model.mel_per_latent
        shape = (config.in_channels, self.latent_length, freqs)
        return seeded_noise(shape, seeds, next(self.model.unet.parameters()))

    def initial_prompt(self, batch: int) -> Tensor:
        return self.positive.expand(batch, -1)

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        return diffusion_levels(self.model.scheduler, steps, self.model.placed_on)

    def predict_noise(self, z: Tensor, level: NoiseLevel, prompt: Tensor, *, cfg: bool = True) -> Tensor:
        """z (B, C, L, F), prompt (B, D) -> eps; a long latent window by window, cross-faded (MultiDiffusion, 2023)."""
        predict = partial(self._predict, t=level.t, scale=self.guidance_scale if cfg else 1)
        return in_windows(predict, self.windows, z, prompt)

    def _predict(self, z: Tensor, prompt: Tensor, *, t: Tensor, scale: float) -> Tensor:
        model = self.model.unet

        def unet(latents: Tensor, labels: Tensor) -> Tensor:
            eps = model(latents.to(model.dtype), t, encoder_hidden_states=None, class_labels=labels.to(model.dtype))
            return to_fp32(eps.sample)

        return cfg_noise(unet, z, prompt, self.negative, scale)

    def decode(self, x0: Tensor, windows: Sequence[int]) -> Tensor:
        """(B, C, L, F) -> the log-mel of these windows, (B, len(windows), T, 64); differentiable.

        Several windows are computed again for the backward pass, so that memory is that of one.
        """
        again = len(windows) > 1 or self.low_memory
        parts = [self.windows[number] for number in windows]
        return torch.stack(
            [checkpointed(self.model.decode_mel, x0[:, :, part.start : part.stop], when=again) for part in parts], 1
        )

    def waveform(self, decoded: Tensor, window: int) -> Tensor:
        """A window's log-mel (B, T, 64) -> (B, 1, n), cut to the length asked for."""
        start = self.windows[window].start * self.model.samples_per_latent
        return self.model.vocode(decoded, low_memory=self.low_memory)[:, None, : self.length - start]

    def onset_features(self, decoded: Tensor) -> Tensor:
        """The log-mel itself, (B, windows, T, 64) -> (B, T, 64): neither vocoder nor binder takes part."""
        windows = [window.scaled(self.model.mel_per_latent) for window in self.windows]
        log_mel = blend(windows, lambda window: decoded[:, windows.index(window)], dim=1)
        return log_mel[:, : math.ceil(self.length / self.model.hop)]

    @torch.no_grad()
    def decode_all(self, z: Tensor) -> Tensor:
        """(B, 1, length) waveform, window by window, cross-faded."""
        model = self.model
        pieces = {window.scaled(model.samples_per_latent): window for window in self.windows}

        def piece(window: Window) -> Tensor:
            return model.vocode(model.decode_mel(z[:, :, pieces[window].start : pieces[window].stop])).float()

        return blend(list(pieces), piece, dim=1)[:, None, : self.length]
