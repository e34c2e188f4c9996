"""AudioLDM (Liu et al., ICML 2023) as components: text -> latent -> log-mel -> waveform, with no pipeline class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .base import fresh_scheduler, guided_noise, in_windows, seeded_noise
from ..media.types import check_duration, fit_length
from ..precision import to_fp32
from ..guidance.settings import Solver
from .prompts import tokens
from .windows import Window, blend, sparing, split

WINDOW_S = 10.24
OVERLAP_S = 2.56
LATENT_STEP = 8  # the UNet halves its input three times: a latent length of 8 k frames passes it unpadded


class AudioLDM(nn.Module):
    """The components of an AudioLDM checkpoint; the weights are frozen. All sizes come from their configurations."""

    def __init__(
        self, unet: nn.Module, vae: nn.Module, vocoder: nn.Module, text_encoder: nn.Module, tokenizer: Any,
        scheduler: Any,
    ) -> None:
        super().__init__()
        self.unet, self.vae, self.vocoder, self.text_encoder = unet, vae, vocoder, text_encoder
        self.tokenizer, self.scheduler = tokenizer, scheduler
        self.eval().requires_grad_(False)
        self.rate_hz: int = vocoder.config.sampling_rate
        self.hop = math.prod(vocoder.config.upsample_rates)  # samples per mel frame
        self.mel_per_latent = 2 ** (len(vae.config.block_out_channels) - 1)

    @property
    def samples_per_latent(self) -> int:
        return self.hop * self.mel_per_latent

    @property
    def placed_on(self) -> torch.device:
        return self.unet.device  # not named `device`: model managers set that attribute themselves

    @torch.no_grad()
    def embed_prompt(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), D) CLAP text embeddings of length 1. Warns when a prompt is longer than CLAP reads."""
        batch = tokens(self.tokenizer, prompts, "AudioLDM").to(self.placed_on)
        output = self.text_encoder(batch.input_ids, attention_mask=batch.attention_mask)
        return normalize(to_fp32(output.text_embeds), dim=-1)

    def decode_mel(self, z: Tensor) -> Tensor:
        """z (B, C, L, F) -> log-mel (B, 4 L, 64) at 100 frames a second; differentiable."""
        scaled = (z / self.vae.config.scaling_factor).to(self.vae.dtype)
        return to_fp32(self.vae.decode(scaled).sample.squeeze(1))

    def decode(self, z: Tensor) -> Tensor:
        """z (B, C, L, F) -> waveform (B, L * samples_per_latent) at `rate_hz`; differentiable."""
        return self.vocode(sparing(self.decode_mel, z, several=False))

    def vocode(self, log_mel: Tensor) -> Tensor:
        """log-mel (B, T, 64) -> waveform (B, T * hop) at `rate_hz`; differentiable."""
        waveform = to_fp32(sparing(self.vocoder, log_mel.to(self.vocoder.dtype), several=False))
        return fit_length(waveform.view(len(log_mel), -1), log_mel.shape[1] * self.hop)


@dataclass(frozen=True)
class ConditionedAudioLDM:
    """AudioLDM with a prompt and a length set: the `Denoiser` of one run.

    positive, negative: (1 or B, D) and (1, D) prompt embeddings; the first is only where the tuned prompt of a run starts
    from.  guidance_scale: w of classifier-free guidance; 1 is off.
    """

    model: AudioLDM
    positive: Tensor
    negative: Tensor
    duration_s: float
    guidance_scale: float = 2.5
    medium = "sound"

    @classmethod
    def from_prompt(
        cls, model: AudioLDM, prompt: str | Sequence[str], negative_prompt: str = "", *, duration_s: float,
        guidance_scale: float = 2.5,
    ) -> ConditionedAudioLDM:
        """prompt: one for all samples of a run, or one for each."""
        prompts = [prompt] if isinstance(prompt, str) else prompt
        *positive, negative = model.embed_prompt([*prompts, negative_prompt]).split(1)
        return cls(model, torch.cat(positive), negative, check_duration(duration_s), guidance_scale)

    @property
    def length(self) -> int:
        """Samples asked for."""
        return round(self.duration_s * self.model.rate_hz)

    @property
    def latent_length(self) -> int:
        return math.ceil(self.length / self.model.samples_per_latent / LATENT_STEP) * LATENT_STEP

    @property
    def windows(self) -> list[Window]:
        """Windows of at most 10.24 s, in latent frames."""
        frames_per_s = self.model.rate_hz / self.model.samples_per_latent
        size, overlap = (round(s * frames_per_s / LATENT_STEP) * LATENT_STEP for s in (WINDOW_S, OVERLAP_S))
        return split(self.latent_length, size, overlap)

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        config = self.model.unet.config
        freqs = self.model.vocoder.config.model_in_dim // self.model.mel_per_latent
        shape = (config.in_channels, self.latent_length, freqs)
        return seeded_noise(shape, seeds, next(self.model.unet.parameters()))

    def initial_prompt(self, batch: int) -> Tensor:
        return self.positive.expand(batch, -1)

    def new_scheduler(self, steps: int, solver: Solver = "ddim") -> Any:
        return fresh_scheduler(self.model.scheduler, steps, solver)

    def predict_noise(self, z: Tensor, t: Tensor, prompt: Tensor, *, cfg: bool = True) -> Tensor:
        """z (B, C, L, F), prompt (B, D) -> eps; a long latent window by window, cross-faded (MultiDiffusion, 2023)."""
        return in_windows(partial(self._predict, scale=self.guidance_scale if cfg else 1), self.windows, z, t, prompt)

    def _predict(self, z: Tensor, t: Tensor, prompt: Tensor, *, scale: float) -> Tensor:
        model = self.model.unet

        def unet(latents: Tensor, labels: Tensor) -> Tensor:
            eps = model(latents.to(model.dtype), t, encoder_hidden_states=None, class_labels=labels.to(model.dtype))
            return to_fp32(eps.sample)

        return guided_noise(unet, z, prompt, self.negative, scale)

    def decode_mels(self, z: Tensor) -> Tensor:
        """(B, C, L, F) -> the log-mel of each window, (B, windows, T, 64); differentiable.

        Several windows are decoded again for the backward pass, so that memory is that of one.
        """
        windows = self.windows
        return torch.stack([sparing(self.model.decode_mel, z[:, :, window.start : window.stop], several=len(windows) > 1)
                            for window in windows], 1)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """(B, length) waveform, window by window, cross-faded."""
        per = self.model.samples_per_latent
        pieces = {window.scaled(per): window for window in self.windows}
        whole = blend(
            list(pieces), lambda w: self.model.decode(z[:, :, pieces[w].start : pieces[w].stop]).float(), dim=1
        )
        return whole[:, : self.length]
