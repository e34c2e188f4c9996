"""A third generator of each medium, as an outsider would add it: unlike AudioLDM and AnimateDiff in everything that could differ.

Audio: 1-D latents at 44.1 kHz stereo, a network that predicts a flow. Video: a causal 3-D VAE (four frames for each latent frame but the
first), a network that predicts velocity. Tiny, with random weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seeing_core.generators.base import NoiseLevel, StepSizes, onset_hop, seeded_noise, waveform_onset_features
from seeing_core.generators.checkpointing import checkpointed
from seeing_core.media.types import Segment

STEP_SIZES = StepSizes({"paper": 0.05, "gradient": 10.0, "x0": 0.1, "unet": 0.1}, prompt=0.1)
PROMPT = 16


def embed(prompts: Sequence[str]) -> Tensor:
    """(N, 16): a prompt's bytes as a direction."""
    rows = [torch.tensor([*prompt.encode()[:PROMPT], *[0] * PROMPT][:PROMPT]).double() for prompt in prompts]
    return torch.stack(rows) / 128


class FlowAudio(nn.Module):
    """rate 44,100 Hz, two channels, 2,048 samples a latent frame."""

    name, rate_hz, channels, hop = "Flow Audio", 44100, 4, 2048

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Conv1d(self.channels, self.channels, 3, padding=1)
        self.prompt = nn.Linear(PROMPT, self.channels)
        self.decoder = nn.Sequential(
            nn.ConvTranspose1d(self.channels, 8, 64, 32, 16), nn.Tanh(), nn.ConvTranspose1d(8, 2, 128, 64, 32), nn.Tanh()
        )
        self.double().requires_grad_(False)

    def unread(self, prompt: str) -> str:
        return prompt[PROMPT:]

    def conditioned(
        self,
        prompts: Sequence[str],
        negative_prompt: str = "",
        *,
        duration_s: float,
        guidance_scale: float | None = None,
        low_memory: bool = False,
    ) -> ConditionedFlowAudio:
        return ConditionedFlowAudio(self, embed(prompts), duration_s, low_memory)


@dataclass(frozen=True)
class ConditionedFlowAudio:
    model: FlowAudio
    prompt: Tensor
    duration_s: float
    low_memory: bool
    step_sizes = STEP_SIZES

    @property
    def rate_hz(self) -> int:
        return self.model.rate_hz

    @property
    def windows_s(self) -> list[Segment]:
        """Parts of 8 s, in whole latent frames."""
        frame_s = self.model.hop / self.rate_hz
        size = round(8 / frame_s)
        starts = range(0, self._frames, size)
        return [
            (start * frame_s, min((start + size) * frame_s, self.duration_s))
            for start in starts
            if start * frame_s < self.duration_s
        ]

    @property
    def _frames(self) -> int:
        return -int(-self.duration_s * self.rate_hz // self.model.hop)

    @property
    def onset_start_s(self) -> float:
        return self.onset_step_s

    @property
    def onset_step_s(self) -> float:
        return onset_hop(self.rate_hz) / self.rate_hz

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        return seeded_noise((self.model.channels, self._frames), seeds, self.model.net.weight)

    def initial_prompt(self, batch: int) -> Tensor:
        return self.prompt.expand(batch, -1)

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        """x_t = (1 - t) x0 + t eps, from a t just under 1, where x0 could not be told."""
        times = torch.linspace(1 - 1e-3, 0, steps + 1).double()
        return [NoiseLevel(t, float(1 - t), float(t)) for t in times]

    def predict_noise(self, z: Tensor, level: NoiseLevel, prompt: Tensor, *, cfg: bool = True) -> Tensor:
        flow = self.model.net(z) + self.model.prompt(prompt)[:, :, None]  # eps - x0
        return z + level.alpha * flow

    def decode(self, x0: Tensor, windows: Sequence[int]) -> Tensor:
        size = round(8 * self.rate_hz / self.model.hop)
        parts = [x0[:, :, number * size : (number + 1) * size] for number in windows]
        made = [checkpointed(self.model.decoder, part, when=len(parts) > 1 or self.low_memory) for part in parts]
        longest = max(one.shape[-1] for one in made)
        return torch.stack([nn.functional.pad(one, (0, longest - one.shape[-1])) for one in made], 1)  # (B, windows, 2, n)

    def waveform(self, decoded: Tensor, window: int) -> Tensor:
        start_s, stop_s = self.windows_s[window]
        return decoded[..., : round((stop_s - start_s) * self.rate_hz)]

    def onset_features(self, decoded: Tensor) -> Tensor:
        parts = [self.waveform(decoded[:, number], number) for number in range(decoded.shape[1])]
        return waveform_onset_features(torch.cat(parts, -1), self.rate_hz)

    @torch.no_grad()
    def decode_all(self, z: Tensor) -> Tensor:
        return self.model.decoder(z)[..., : round(self.duration_s * self.rate_hz)]


class VelocityVideo(nn.Module):
    """4 t - 3 frames for t latent frames, 8 pixels a latent pixel; no frame depends on a later latent frame."""

    name, channels, native_side = "Velocity Video", 4, 32

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Conv3d(self.channels, self.channels, 3, padding=1)
        self.prompt = nn.Linear(PROMPT, self.channels)
        self.causal = nn.Conv3d(self.channels, 4 * 8, (3, 1, 1))
        self.pixels = nn.ConvTranspose2d(8, 3, 8, 8)
        self.double().requires_grad_(False)

    def unread(self, prompt: str) -> str:
        return prompt[PROMPT:]

    def conditioned(
        self,
        prompts: Sequence[str],
        negative_prompt: str = "",
        *,
        duration_s: float,
        fps: float,
        width: int = 0,
        height: int = 0,
        guidance_scale: float | None = None,
        low_memory: bool = False,
    ) -> ConditionedVelocityVideo:
        return ConditionedVelocityVideo(self, embed(prompts), max(1, round(duration_s * fps)), fps, low_memory)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, t, h, w) -> (B, 4 t - 3, 3, H, W)."""
        hidden = self.causal(nn.functional.pad(latents, (0, 0, 0, 0, 2, 0)))  # sees this latent frame and the two before
        hidden = hidden.unflatten(1, (4, 8)).permute(0, 3, 1, 2, 4, 5).flatten(1, 2)[:, 3:]  # (B, 4 t - 3, 8, h, w)
        frames = self.pixels(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])
        return frames.tanh() / 2 + 0.5


@dataclass(frozen=True)
class ConditionedVelocityVideo:
    model: VelocityVideo
    prompt: Tensor
    frames: int
    fps: float
    low_memory: bool
    step_sizes = STEP_SIZES

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        shape = (self.model.channels, (self.frames + 2) // 4 + 1, 4, 4)
        return seeded_noise(shape, seeds, self.model.net.weight)

    def initial_prompt(self, batch: int) -> Tensor:
        return self.prompt.expand(batch, -1)

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        """A cosine schedule: alpha² + sigma² = 1."""
        angles = torch.linspace(1.5, 0, steps + 1).double()
        return [NoiseLevel(angle, float(angle.cos()), float(angle.sin())) for angle in angles]

    def predict_noise(self, z: Tensor, level: NoiseLevel, prompt: Tensor, *, cfg: bool = True) -> Tensor:
        velocity = self.model.net(z) + self.model.prompt(prompt)[:, :, None, None, None]  # alpha eps - sigma x0
        return level.sigma * z + level.alpha * velocity

    def decode(self, x0: Tensor, frames: Sequence[int]) -> Tensor:
        needed = (max(frames) + 3) // 4 + 1  # the VAE is causal: later latent frames change nothing
        return checkpointed(self.model.decode, x0[:, :, :needed], when=self.low_memory)[:, list(frames)]

    @torch.no_grad()
    def decode_all(self, z: Tensor) -> Tensor:
        return self.model.decode(z)[:, : self.frames].float()
