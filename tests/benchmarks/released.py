"""The paper's released video to audio loop, as far as it costs anything: the baseline of the cost model, never used elsewhere.

As the design notes list it: at every inner step the video, the prompt and the sound go through all of ImageBind together; the
filter bank is computed clip by clip; VAE and vocoder collect gradients for their own weights, which nobody reads; autograd's
anomaly mode is on; nothing is kept from one step to the next. (ImageBind's own weights are frozen there.)
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from seeing_core.binders.imagebind import ImageBind
from seeing_core.generators.audioldm import ConditionedAudioLDM
from tests import plain


@dataclass(frozen=True)
class ReleasedLoop:
    """video: (S, 3, 2, 224, 224), what the vision tower takes.  words: (1, 77) tokens.  rate: Adam's."""

    generator: ConditionedAudioLDM
    binder: ImageBind
    video: Tensor
    words: Tensor
    rate: float = 0.1

    def run(self, *, seed: int, steps: int, start_fraction: float = 0.2) -> tuple[Tensor, list[Tensor]]:
        """The final latent and the losses of the guided steps; a start_fraction below 0 guides the first step too."""
        z, losses = self.generator.initial_noise([seed]), []
        scheduler = copy.deepcopy(self.generator.model.scheduler)
        scheduler.set_timesteps(steps)
        for step, t in enumerate(scheduler.timesteps):
            with torch.no_grad():
                eps = self.generator.predict_noise(z, self.generator.noise_levels(steps)[step], self.generator.positive)
                z = scheduler.step(eps, t, z).prev_sample
            if step > steps * start_fraction // 1:
                z, loss = self._aligned(z, eps, float(scheduler.alphas_cumprod[t]))
                losses.append(loss)
        return z, losses

    def _aligned(self, z: Tensor, eps: Tensor, level: float) -> tuple[Tensor, Tensor]:
        z = z.detach().requires_grad_()
        optimizer = torch.optim.Adam([z], lr=self.rate)
        weights = [*self.generator.model.vae.parameters(), *self.generator.model.vocoder.parameters()]
        with torch.enable_grad(), torch.autograd.set_detect_anomaly(True, check_nan=not z.is_meta):
            for weight in weights:
                weight.requires_grad_()
            loss = self._loss((z - (1 - level) ** 0.5 * eps) / level**0.5)
            loss.backward()
            optimizer.step()
        for weight in weights:
            weight.requires_grad_(False).grad = None
        return z.detach(), loss.detach()

    def _loss(self, x0: Tensor) -> Tensor:
        model = self.generator.model
        samples = model.vocode(model.decode_mel(x0))[0, : self.generator.length]
        inputs = {"vision": self.video[None], "text": self.words, "audio": plain.audio_input(samples)[None]}
        seen = self.binder.towers(inputs)
        return (1 - cosine_similarity(seen["audio"], seen["vision"])) + (1 - cosine_similarity(seen["audio"], seen["text"]))
