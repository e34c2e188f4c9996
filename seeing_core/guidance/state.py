"""One model on its way from noise to x0, and the rules by which the aligner may nudge it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from .settings import AlignSettings, Solver


class Denoiser(Protocol):
    """A latent diffusion model with its task set: what the loop asks of a model family."""

    medium: str
    """"sound" or "picture": which of the usual rates are its own."""

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        """(B, ...) noise, one seed each; no sample depends on the others."""

    def initial_prompt(self, batch: int) -> Tensor:
        """(B, ...) prompt embeddings: the y that guided prompt tuning changes."""

    def new_scheduler(self, steps: int, solver: Solver) -> Any:
        """A diffusers scheduler of this model, its timesteps set."""

    def predict_noise(self, z: Tensor, t: Tensor, prompt: Tensor, *, cfg: bool) -> Tensor:
        """eps like z, with classifier-free guidance if `cfg`; differentiable in z and in the prompt."""


class SamplerState:
    """The state of one model within a run.

    z: the latent after the last step; noisier: before it; eps: the step's noise estimate, with a graph back to `noisier`
    and `prompt` when gradients go through the UNet; level, next_level: ā_t of the step and of the next one.
    """

    def __init__(self, model: Denoiser, seeds: Sequence[int], steps: int, settings: AlignSettings) -> None:
        self.model, self.settings = model, settings
        self.scheduler = self.next_scheduler = model.new_scheduler(steps, settings.solver)
        self.cfg_steps = math.ceil(steps * settings.cfg_end_fraction)
        self.z = model.initial_noise(seeds) * self.scheduler.init_noise_sigma
        self.prompt = model.initial_prompt(len(seeds))
        self.usual_rate, self.usual_prompt_rate = settings.rate(model.medium), settings.prompt_rate(model.medium)
        self.steps = steps
        self.randoms = [torch.Generator().manual_seed(seed) for seed in seeds]

    def denoise(self, step: int, *, gradients: bool) -> None:
        """One step of the scheduler: noisier -> z. `gradients` keeps the UNet's graph for the aligner."""
        self.scheduler, self.noisier = self.next_scheduler, self.z
        self.t, self.cfg = self.scheduler.timesteps[step], step < self.cfg_steps
        window = self.settings.window(step, self.steps)
        self.rate, self.prompt_rate = self.usual_rate * window, self.usual_prompt_rate * window
        self.level, self.next_level = signal_levels(self.scheduler, step)
        self._predict(gradients)
        self.z = self._stepped()
        self.unguided = (self.z.clone(), self.noisier) if self.settings.pull else None
        # The released code makes its optimiser afresh at every denoise step, so its update is close to a sign.
        self.moments = torch.optim.Adam([self.z], lr=self.rate) if self.settings.mode == "paper" else None

    def renoise(self) -> None:
        """z goes back to the noise level it had before the step, so that the step can be taken again (time travel)."""
        kept = self.level / self.next_level
        noise = torch.stack([torch.randn(row.shape, generator=own) for row, own in zip(self.z, self.randoms, strict=True)])
        self.z = kept**0.5 * self.z.detach() + (1 - kept) ** 0.5 * noise.to(self.z)
        self.next_scheduler = self.scheduler

    def denoise_again(self) -> None:
        """The same step anew, from the prompt as it is now; what the aligner did to z stays."""
        before = self._stepped()
        self._predict(gradients=True)
        # In place: the optimiser of this step holds this very tensor.
        self.z += self._stepped() - before

    def _stepped(self) -> Tensor:
        """The latent after the step. It is taken by a copy of the scheduler, so that one with a memory can take it again."""
        self.next_scheduler = copy.deepcopy(self.scheduler)
        return self.next_scheduler.step(self.eps.detach(), self.t, self.noisier.detach()).prev_sample

    def _predict(self, gradients: bool) -> None:
        with torch.set_grad_enabled(gradients):
            self.noisier = self.noisier.detach().requires_grad_(gradients and self.settings.mode == "unet" and self.rate > 0)
            self.prompt = self.prompt.detach().requires_grad_(gradients and self.prompt_rate > 0)
            scaled = self.scheduler.scale_model_input(self.noisier, self.t)
            self.eps = self.model.predict_noise(scaled, self.t, self.prompt, cfg=self.cfg)

    def predict_x0(self) -> Tensor:
        """Eq. 11: x0 = (z - √(1-ā)·eps) / √ā, with the graph that eps carries.

        "paper" and "gradient" put in the latent after the step, as the released code does; "x0" and "unet" the one that
        eps belongs to.
        """
        latent = self.z if self.settings.mode in ("paper", "gradient") else self.noisier
        with torch.set_grad_enabled(self.eps.requires_grad):
            return (latent - (1 - self.level) ** 0.5 * self.eps) / self.level**0.5

    def nudge(self, x0: Tensor, gradient: Tensor, of_prompt: Tensor) -> None:
        """One inner step on z by `gradient`, d loss / d x0, like x0; and on the prompt by the part of it that is the prompt's."""
        through = self._through_unet(x0, {self.noisier: gradient, self.prompt: of_prompt})
        if self.rate > 0:
            self._nudge_latent(gradient, through.get(self.noisier))
            self._pull_back()
        if self.prompt_rate > 0:  # eq. 17, the step relative to the embedding's size, which it keeps (CLAP's is 1)
            size, tuned = rms(self.prompt.detach()), unit_rms(self.prompt.detach())
            self.prompt = size * unit_rms(tuned - self.prompt_rate * unit_rms(through[self.prompt]))

    def _through_unet(self, x0: Tensor, wanted: dict[Tensor, Tensor]) -> dict[Tensor, Tensor]:
        """d loss / d leaf for those leaves that take gradients; leaves of one and the same d loss / d x0 share a pass."""
        found: dict[Tensor, Tensor] = {}
        leaves = [leaf for leaf in wanted if leaf.requires_grad]
        while leaves:
            gradient = wanted[leaves[0]]
            alike = [leaf for leaf in leaves if wanted[leaf] is gradient]
            leaves = [leaf for leaf in leaves if wanted[leaf] is not gradient]
            found |= zip(alike, torch.autograd.grad(x0, alike, gradient, retain_graph=bool(leaves)), strict=True)
        return found

    def _pull_back(self) -> None:
        if self.unguided:
            z, noisier = self.unguided
            self.z.lerp_(z, self.settings.pull)  # in place: the optimiser holds this very tensor
            self.noisier = self.noisier.detach().lerp(noisier.detach(), self.settings.pull)

    def _unit(self, gradient: Tensor) -> Tensor:
        """The gradient's size normalised, and bounded where that is asked for."""
        unit, largest = unit_rms(gradient), self.settings.gradient_clip
        return unit.clamp(-largest, largest) if largest else unit

    def _nudge_latent(self, gradient: Tensor, through_unet: Tensor | None) -> None:
        match self.settings.mode:
            case "paper":  # d x0 / d z = 1/√ā, the eps of the step held fixed
                self.z.grad = gradient / self.level**0.5
                self.moments.step()
            case "gradient":  # eq. 13
                self.z = self.z - self.rate * gradient / self.level**0.5
            case "x0":  # MPGD (He et al., ICLR 2024): step in x0, noised again with the same eps
                self.z = self.z - self.next_level**0.5 * self.rate * self._unit(gradient)
                self.noisier = self.noisier - self.level**0.5 * self.rate * self._unit(gradient)
            case "unet":  # DPS (Chung et al., ICLR 2023), the gradient's size normalised
                self.z = self.z - self.rate * self._unit(through_unet)
                self.noisier = self.noisier.detach() - self.rate * self._unit(through_unet)  # what the next inner step sees


def rms(x: Tensor) -> Tensor:
    """(B, ...) -> each sample's root mean square, (B, 1, ...)."""
    return x.flatten(1).square().mean(1).sqrt().view(-1, *[1] * (x.ndim - 1))


def unit_rms(gradient: Tensor) -> Tensor:
    """(B, ...) scaled so that each sample's root mean square is 1; a zero gradient stays zero."""
    return gradient / rms(gradient).clamp_min(1e-12)


def signal_levels(scheduler: Any, step: int) -> tuple[float, float]:
    """ā of this step and of the next (after the last: the scheduler's final one)."""
    levels = [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps[step : step + 2]]
    return levels[0], levels[1] if len(levels) == 2 else float(scheduler.final_alpha_cumprod)
