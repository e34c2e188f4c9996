"""What the aligner asks of a generator: a noise schedule, a noise estimate, and what a part of x0 decodes to.

An audio model or a video model is one file that answers one of these protocols. Whether the network predicts noise, velocity
or a flow stays inside that file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from ..media.types import Segment
from ..precision import to_fp32


@dataclass(frozen=True)
class NoiseLevel:
    """z = alpha * x0 + sigma * eps.  alpha: above 0.  t: the time step as the network takes it."""

    t: Tensor
    alpha: float
    sigma: float

    @property
    def log_ratio(self) -> float:
        """log(alpha / sigma), in which steps of a solver are measured."""
        return math.log(self.alpha / self.sigma)

    def clean(self, z: Tensor, eps: Tensor) -> Tensor:
        """The x0 that z holds beside this noise (eq. 11 of the paper)."""
        return (z - self.sigma * eps) / self.alpha

    def mix(self, x0: Tensor, eps: Tensor) -> Tensor:
        """The z of this level."""
        return self.alpha * x0 + self.sigma * eps


@dataclass(frozen=True)
class StepSizes:
    """What strength 1 means for a generator.

    latent: λ₁ for each mode of the settings.  prompt: λ₂, in units of the prompt embedding's own size.
    """

    latent: Mapping[str, float]
    prompt: float


class Generator(Protocol):
    """A latent diffusion model with its prompts and its size set: what the sampling loop asks."""

    step_sizes: StepSizes

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        """(B, ...) noise, one seed each, in at least single precision; no sample depends on the others."""

    def initial_prompt(self, batch: int) -> Tensor:
        """(B, ...) prompt embeddings: the y that guided prompt tuning changes."""

    def noise_levels(self, steps: int) -> Sequence[NoiseLevel]:
        """steps + 1 levels, from the initial noise to the clean latent."""

    def predict_noise(self, z: Tensor, level: NoiseLevel, prompt: Tensor, *, cfg: bool) -> Tensor:
        """eps like z, with classifier-free guidance if `cfg`; differentiable in z and in the prompt."""


class AudioDecoder(Protocol):
    """What the latents of a sound decode to: all that guidance needs where something else does the sampling.

    windows_s: the parts, overlapping, at most some ten seconds each, in which something long is decoded and compared.
    onset_start_s, onset_step_s: value i of the onset strength belongs to onset_start_s + i * onset_step_s.
    """

    rate_hz: int
    duration_s: float

    @property
    def windows_s(self) -> Sequence[Segment]: ...

    @property
    def onset_start_s(self) -> float: ...

    @property
    def onset_step_s(self) -> float: ...

    def decode(self, x0: Tensor, windows: Sequence[int]) -> Tensor:
        """(B, len(windows), ...): these windows, as far as waveform and onset features have in common; differentiable."""

    def waveform(self, decoded: Tensor, window: int) -> Tensor:
        """One window's part of what was decoded, (B, ...) -> (B, channels, n) at `rate_hz`; differentiable."""

    def onset_features(self, decoded: Tensor) -> Tensor:
        """All windows, (B, windows, ...) -> (B, T, M) log energies of M bands, whose rise marks an onset; differentiable."""


class AudioGenerator(Generator, AudioDecoder, Protocol):
    """A generator of sound."""

    def decode_all(self, z: Tensor) -> Tensor:
        """(B, channels, round(duration_s * rate_hz)): the finished waveforms."""


class VideoDecoder(Protocol):
    """What the latents of a video decode to.  frames: how many."""

    frames: int
    fps: float

    def decode(self, x0: Tensor, frames: Sequence[int]) -> Tensor:
        """(B, len(frames), 3, H, W): these frames, rising, about 0..1 (not clipped: that stops gradients); differentiable."""


class VideoGenerator(Generator, VideoDecoder, Protocol):
    """A generator of video."""

    def decode_all(self, z: Tensor) -> Tensor:
        """(B, frames, 3, H, W), 0..1: the finished frames."""


class AudioModel(Protocol):
    """A loaded audio model.  name: as users know it."""

    name: str

    def unread(self, prompt: str) -> str:
        """The end of the prompt that the text encoder does not read; empty when it reads all."""

    def conditioned(
        self,
        prompts: Sequence[str],
        negative_prompt: str = "",
        *,
        duration_s: float,
        guidance_scale: float | None = None,
        low_memory: bool = False,
    ) -> AudioGenerator:
        """The generator of one run.  prompts: one for all samples of the run, or one for each.

        guidance_scale: of classifier-free guidance; None is the model's usual one.  low_memory: slower, in less memory.
        """


class VideoModel(Protocol):
    """A loaded video model, likewise."""

    name: str

    @property
    def native_side(self) -> int:
        """The side, in pixels, of the square frames it was trained on."""

    def unread(self, prompt: str) -> str: ...

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
    ) -> VideoGenerator:
        """round(duration_s * fps) frames, at least one.  width, height: pixels; 0 is the model's own size."""


def cfg_noise(unet: Callable[[Tensor, Tensor], Tensor], z: Tensor, positive: Tensor, negative: Tensor, scale: float) -> Tensor:
    """negative + scale (positive - negative) of unet(latents, prompt); z (B, ...), positive (B, ...), negative (1 or B, ...).

    A scale of 1 runs the positive prompt alone. Both halves run as one batch, except when only the prompt is
    differentiated: then the negative half needs no graph, which halves the memory and the work of the backward pass.
    """
    if scale == 1:
        return unet(z, positive)
    negative = negative.expand_as(positive)
    if positive.requires_grad and not z.requires_grad:
        with torch.no_grad():
            without = unet(z, negative)
        return without + scale * (unet(z, positive) - without)
    without, with_ = unet(torch.cat([z, z]), torch.cat([negative, positive])).chunk(2)
    return without + scale * (with_ - without)


def seeded_noise(shape: Sequence[int], seeds: Sequence[int], like: Tensor) -> Tensor:
    """(len(seeds), *shape) normal noise on the device of `like`, in its precision but at least single.

    Made on the CPU in single precision, so that a seed gives the same on every device and for half-precision weights too.
    """
    noise = [torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds]
    return torch.stack(noise).to(like.device, to_fp32(like).dtype)


def diffusion_levels(scheduler: Any, steps: int, device: torch.device) -> list[NoiseLevel]:
    """The levels of a DDIM run (Song et al., ICLR 2021; eta 0) with the noise schedule of a diffusers scheduler.

    Time steps are brought to the network's device once, so that no step waits for them.
    """
    own = type(scheduler).from_config(scheduler.config)
    own.set_timesteps(steps)
    bars = [*(own.alphas_cumprod[t] for t in own.timesteps), own.final_alpha_cumprod]
    times = torch.cat([own.timesteps, own.timesteps.new_zeros(1)]).to(device).unbind()
    return [NoiseLevel(t, float(bar.sqrt()), float((1 - bar).sqrt())) for t, bar in zip(times, bars, strict=True)]


def waveform_onset_features(waveform: Tensor, rate_hz: int, bands: int = 64) -> Tensor:
    """For generators without a cheaper way: waveform (B, channels, n) -> log-mel energies (B, T, bands), T = 1 + n // hop.

    A frame every 10 ms (`onset_hop`), of twice 25 ms; channels averaged. Differentiable.
    """
    hop, size = onset_hop(rate_hz), 2 ** math.ceil(math.log2(rate_hz * 0.05))
    samples = waveform.mean(1)
    window = torch.hann_window(size, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(samples, size, hop, window=window, return_complex=True)  # (B, F, T)
    power = spectrum.real.square() + spectrum.imag.square()  # the gradient of abs() is not defined in silence
    return (power.transpose(1, 2) @ _mel_banks(size // 2 + 1, bands, rate_hz, power.dtype, power.device) + 1e-5).log()


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # else the first caller's mode would be kept with the cached tensor
def _mel_banks(frequencies: int, bands: int, rate_hz: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(frequencies, bands); kept on the device."""
    from torchaudio.functional import melscale_fbanks

    return melscale_fbanks(frequencies, 0.0, rate_hz / 2, bands, rate_hz).to(device, dtype)


def onset_hop(rate_hz: int) -> int:
    """Samples between two onset features: 10 ms."""
    return round(rate_hz / 100)
