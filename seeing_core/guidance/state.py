"""One generator on its way from noise to x0, and the rules by which the aligner may move it."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

import torch
from torch import Tensor

from ..generators.base import Generator, NoiseLevel
from .settings import AlignSettings


class SamplerState:
    """The state of one generator within a run.

    z_t, z_next: the latent before and after the present step.  eps: the step's noise estimate, with a graph back to z_t and
    `prompt` when gradients go through the UNet.  level, next_level: the noise levels of z_t and z_next.
    """

    def __init__(
        self,
        generator: Generator,
        noise: Tensor,
        levels: Sequence[NoiseLevel],
        settings: AlignSettings,
        *,
        second_order: bool = False,
        cfg_steps: Container[int] | None = None,
        first_gain: Tensor | None = None,
    ) -> None:
        """noise: (B, ...).  levels: one more than steps.  second_order: for coarse steps, which DDIM, of first order, strays in.

        cfg_steps: those with classifier-free guidance, by default as the settings say.
        first_gain: (B,), by what the x0 is multiplied that the first step predicts.
        """
        self.generator, self.levels, self.settings = generator, levels, settings
        self.second_order = second_order
        self.first_gain = first_gain
        self.seen: tuple[float, Tensor] | None = None  # level and unguided x0 of the step before
        self.cfg_steps = settings.cfg_steps(len(levels) - 1) if cfg_steps is None else cfg_steps
        self.z_next = noise
        self.prompt = generator.initial_prompt(len(noise))
        self.step_size = settings.strength * generator.step_sizes.latent[settings.mode]
        self.prompt_step_size = settings.prompt_strength * generator.step_sizes.prompt

    def denoise(self, step: int, *, gradients: bool) -> None:
        """One DDIM step, z_t -> z_next. `gradients` keeps the UNet's graph for the aligner."""
        self.level, self.next_level = self.levels[step : step + 2]
        self.cfg = step in self.cfg_steps
        self.z_t = self.z_next
        self._predict(gradients)
        self.z_next = self._step()
        if self.second_order:
            self._bend()
        if step == 0 and self.first_gain is not None:
            self._amplify(self.first_gain)
        # The released code makes its optimiser afresh at every denoise step, so its update is close to a sign.
        if self.settings.mode == "paper":
            self.adam = torch.optim.Adam([self.z_next], lr=self.step_size)

    def redo_step(self) -> None:
        """The same step anew, from z_t and the prompt as they are now; what the aligner did to z_next stays."""
        before = self._step()
        self._predict(gradients=True)
        self.z_next += self._step() - before  # in place: the optimiser of this step holds this very tensor

    def plain_x0(self) -> Tensor:
        """The x0 that eps belongs to, in every mode, without a graph."""
        return self.level.clean(self.z_t.detach(), self.eps.detach())

    def _step(self) -> Tensor:
        return self.next_level.mix(self.plain_x0(), self.eps.detach())

    def _bend(self) -> None:
        """Adds to the DDIM step what the change of x0 since the step before means (DPM-Solver++ 2M, Lu et al., 2022)."""
        level, x0 = self.level.log_ratio, self.plain_x0()
        if self.seen and self.next_level.sigma:
            level_before, x0_before = self.seen
            length = self.next_level.log_ratio - level
            change = (x0 - x0_before) * length / (level - level_before)
            self.z_next = self.z_next - 0.5 * self.next_level.alpha * math.expm1(-length) * change
        self.seen = level, x0

    def _amplify(self, gain: Tensor) -> None:
        x0 = self.plain_x0()
        gain = gain.to(x0).view(-1, *[1] * (x0.ndim - 1))
        self.z_next = self.z_next + self.next_level.alpha * (gain - 1) * x0

    def _predict(self, gradients: bool) -> None:
        with torch.set_grad_enabled(gradients):
            moves_latent = self.settings.mode == "unet" and self.step_size > 0
            self.z_t = self.z_t.detach().requires_grad_(gradients and moves_latent)
            self.prompt = self.prompt.detach().requires_grad_(gradients and self.prompt_step_size > 0)
            self.eps = self.generator.predict_noise(self.z_t, self.level, self.prompt, cfg=self.cfg)

    def predict_x0(self) -> Tensor:
        """Eq. 11, with the graph that eps carries.

        "paper" and "gradient" put in the latent after the step, as the released code does; "x0" and "unet" the one that
        eps belongs to.
        """
        latent = self.z_next if self.settings.mode in ("paper", "gradient") else self.z_t
        with torch.set_grad_enabled(self.eps.requires_grad):
            return self.level.clean(latent, self.eps)

    def guide(self, x0: Tensor, gradient: Tensor) -> None:
        """One inner step on the latent and the prompt by `gradient`, d loss / d x0, like x0."""
        leaves = [leaf for leaf in (self.z_t, self.prompt) if leaf.requires_grad]
        through = dict(zip(leaves, torch.autograd.grad(x0, leaves, gradient), strict=True)) if leaves else {}
        if self.step_size > 0:
            self._guide_latent(through.get(self.z_t, gradient))
        if self.prompt_step_size > 0:  # eq. 17, the step relative to the embedding's size, which it keeps (CLAP's is 1)
            size, unit = rms(self.prompt.detach()), unit_rms(self.prompt.detach())
            self.prompt = size * unit_rms(unit - self.prompt_step_size * unit_rms(through[self.prompt]))

    def _guide_latent(self, gradient: Tensor) -> None:
        """gradient: d loss / d x0; in mode "unet" d loss / d z_t."""
        match self.settings.mode:
            case "paper":  # d x0 / d z = 1 / alpha, the eps of the step held fixed
                self.z_next.grad = gradient / self.level.alpha
                self.adam.step()
            case "gradient":  # eq. 13
                self.z_next = self.z_next - self.step_size * gradient / self.level.alpha
            case "x0":  # noised again with the same eps
                move = x0_step(gradient, self.step_size)
                self.z_next = self.z_next - self.next_level.alpha * move
                self.z_t = self.z_t - self.level.alpha * move
            case "unet":  # DPS (Chung et al., ICLR 2023), the gradient's size normalised
                move = self.step_size * unit_rms(gradient)
                self.z_next = self.z_next - move
                self.z_t = self.z_t.detach() - move  # what the next inner step sees


class GivenX0:
    """An x0 that something else predicted and will go on from, on its way through the aligner: a sampler of ComfyUI's, for one.

    x0: (B, ...), the guided one at the end.
    """

    def __init__(self, x0: Tensor, step_size: float) -> None:
        self.x0, self.step_size = x0, step_size

    def predict_x0(self) -> Tensor:
        return self.x0

    def redo_step(self) -> None:
        raise NotImplementedError("no gradient goes through the network here, so there is nothing to predict anew")

    def guide(self, x0: Tensor, gradient: Tensor) -> None:
        self.x0 = x0 - x0_step(gradient, self.step_size)


def x0_step(gradient: Tensor, step_size: float) -> Tensor:
    """What to take off x0 (MPGD, He et al., ICLR 2024), the gradient's size normalised.  gradient: d loss / d x0, (B, ...)."""
    return step_size * unit_rms(gradient)


def rms(x: Tensor) -> Tensor:
    """(B, ...) -> each sample's root mean square, (B, 1, ...)."""
    return x.flatten(1).square().mean(1).sqrt().view(-1, *[1] * (x.ndim - 1))


def unit_rms(gradient: Tensor) -> Tensor:
    """(B, ...) scaled so that each sample's root mean square is 1; a zero gradient stays zero."""
    return gradient / rms(gradient).clamp_min(1e-12)
