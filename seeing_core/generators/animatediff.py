"""AnimateDiff (Guo et al., ICLR 2024) as components: a Stable Diffusion 1.5 with a motion module, no pipeline class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import check_number
from ..precision import to_fp32
from .base import NoiseLevel, StepSizes, cfg_noise, diffusion_levels, seeded_noise
from .checkpointing import CheckpointedParts, checkpointed
from .prompts import tokens, unread_part
from .windows import Window, in_windows, split

CONTEXT_FRAMES = 16  # what motion modules were trained on
CONTEXT_OVERLAP = 4
# Pixels decoded at once: for the loss as many as two frames of 512 x 512 have, for the finished video as eight of them.
LOSS_PIXELS, FINAL_PIXELS = 2 * 512 * 512, 8 * 512 * 512
GUIDANCE_SCALE = 7.5
# "paper": published (§4.1 of the paper). The others were found on the pocket models.
STEP_SIZES = StepSizes({"paper": 0.01, "gradient": 3.0, "x0": 0.05, "unet": 0.05}, prompt=0.05)


class AnimateDiff(nn.Module):
    """UNetMotionModel, VAE and CLIP text encoder; the weights are frozen, the UNet is checkpointed when differentiated."""

    name = "AnimateDiff"
    unet: Any  # diffusers and transformers classes, whose attributes their type hints hide
    vae: Any
    text_encoder: Any

    def __init__(self, unet: nn.Module, vae: nn.Module, text_encoder: nn.Module, tokenizer: Any, scheduler: Any) -> None:
        from diffusers.models.resnet import ResnetBlock2D
        from diffusers.models.transformers.transformer_2d import Transformer2DModel
        from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

        super().__init__()
        self.unet, self.vae, self.text_encoder = unet, vae, text_encoder
        self.tokenizer, self.scheduler = tokenizer, scheduler
        self.eval().requires_grad_(False)
        parts = (ResnetBlock2D, Transformer2DModel, AnimateDiffTransformer3D)
        CheckpointedParts(self.unet, parts, on=True)
        self.vae_parts = CheckpointedParts(self.vae.decoder, parts, on=False)
        self.pixels_per_latent = 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def placed_on(self) -> torch.device:
        return self.unet.device  # not named `device`: model managers set that attribute themselves

    @property
    def native_side(self) -> int:
        """The side, in pixels, of the square frames the model was trained on."""
        return self.unet.config.sample_size * self.pixels_per_latent

    def unread(self, prompt: str) -> str:
        """The end of the prompt that CLIP does not read."""
        return unread_part(self.tokenizer, prompt)

    @torch.no_grad()
    def embed_prompt(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), 77, D) CLIP text states."""
        batch = tokens(self.tokenizer, prompts).to(self.placed_on)
        return to_fp32(self.text_encoder(batch.input_ids).last_hidden_state)

    def conditioned(
        self,
        prompts: Sequence[str],
        negative_prompt: str = "",
        *,
        duration_s: float,
        fps: float = 8.0,
        width: int = 0,
        height: int = 0,
        guidance_scale: float | None = None,
        low_memory: bool = False,
    ) -> ConditionedAnimateDiff:
        """The generator of one run.  prompts: one for all samples of the run, or one for each.

        width, height: pixels, rounded down to multiples of 8; 0 is the model's own side.
        """
        scale = check_number("guidance scale", GUIDANCE_SCALE if guidance_scale is None else guidance_scale, 0, 100)
        *positive, negative = self.embed_prompt([*prompts, negative_prompt]).split(1)
        step = self.pixels_per_latent
        for name, side in (("width", width), ("height", height)):
            check_number(name, side or self.native_side, 2 * step, 4096, unit="pixels")
        width, height = (self.native_side if side == 0 else side // step * step for side in (width, height))
        frames = max(1, round(duration_s * fps))
        return ConditionedAnimateDiff(self, torch.cat(positive), negative, frames, fps, width, height, scale, low_memory)

    def decode(self, z: Tensor, *, low_memory: bool = False) -> Tensor:
        """z (B, C, F, h, w) -> frames (B, F, 3, 8 h, 8 w), about 0..1 (not clipped: that would stop gradients)."""
        frames = z.transpose(1, 2).flatten(0, 1) / self.vae.config.scaling_factor  # (B F, C, h, w)
        with self.vae_parts.switched(low_memory):
            decoded = to_fp32(self.vae.decode(frames.to(self.vae.dtype)).sample)
        return (decoded / 2 + 0.5).unflatten(0, (len(z), -1))


@dataclass(frozen=True)
class ConditionedAnimateDiff:
    """AnimateDiff with prompts and a size set: the `VideoGenerator` of one run.

    positive, negative: (1 or B, 77, D) and (1, 77, D) prompt embeddings; the first is only where the tuned prompt of a run
    starts from.  frames: how many, at `fps`; more than 16 are made in overlapping windows.  width, height: pixels.
    low_memory: the VAE's activations are computed twice, half as many frames are decoded at once.
    """

    model: AnimateDiff
    positive: Tensor
    negative: Tensor
    frames: int
    fps: float
    width: int
    height: int
    guidance_scale: float = GUIDANCE_SCALE
    low_memory: bool = False
    step_sizes = STEP_SIZES

    @property
    def windows(self) -> list[Window]:
        return split(self.frames, CONTEXT_FRAMES, CONTEXT_OVERLAP)

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        step = self.model.pixels_per_latent
        shape = (self.model.unet.config.in_channels, self.frames, self.height // step, self.width // step)
        return seeded_noise(shape, seeds, next(self.model.unet.parameters()))

    def initial_prompt(self, batch: int) -> Tensor:
        return self.positive.expand(batch, -1, -1)

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        return diffusion_levels(self.model.scheduler, steps, self.model.placed_on)

    def predict_noise(self, z: Tensor, level: NoiseLevel, prompt: Tensor, *, cfg: bool = True) -> Tensor:
        """z (B, C, F, h, w), prompt (B, 77, D) -> eps; a long video window by window, cross-faded."""
        predict = partial(self._predict, t=level.t, scale=self.guidance_scale if cfg else 1)
        return in_windows(predict, self.windows, z, prompt)

    def _predict(self, z: Tensor, prompt: Tensor, *, t: Tensor, scale: float) -> Tensor:
        model = self.model.unet

        def unet(latents: Tensor, states: Tensor) -> Tensor:
            # The spatial blocks see frames as a batch: each needs its own copy of the text.
            states = states.repeat_interleave(latents.shape[2], 0).to(model.dtype)
            return to_fp32(model(latents.to(model.dtype), t, states).sample)

        return cfg_noise(unet, z, prompt, self.negative, scale)

    def decode(self, x0: Tensor, frames: Sequence[int]) -> Tensor:
        """(B, C, F, h, w) -> these frames, (B, len(frames), 3, H, W), about 0..1; differentiable. Exact: the VAE is per frame.

        Several slices are computed again for the backward pass.
        """
        wanted = x0 if len(frames) == self.frames else torch.cat([x0[:, :, frame : frame + 1] for frame in frames], 2)
        slices = self._slices(wanted, LOSS_PIXELS)
        again = len(slices) > 1 or self.low_memory
        return torch.cat([checkpointed(self.model.decode, part, low_memory=self.low_memory, when=again) for part in slices], 1)

    @torch.no_grad()
    def decode_all(self, z: Tensor) -> Tensor:
        """(B, F, 3, H, W) frames, 0..1, a few at a time."""
        return torch.cat([self.model.decode(part).float().clamp(0, 1).cpu() for part in self._slices(z, FINAL_PIXELS)], 1)

    def _slices(self, z: Tensor, pixels: int) -> Sequence[Tensor]:
        """The frames of z in pieces of as many as have these pixels, at least one; half as many to save memory."""
        frames = max(1, pixels // (self.width * self.height * len(z)))
        return z.split(max(1, frames // 2) if self.low_memory else frames, dim=2)
