"""AnimateDiff (Guo et al., ICLR 2024) as components: a Stable Diffusion 1.5 with a motion module, no pipeline class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .base import fresh_scheduler, guided_noise, in_windows, seeded_noise
from ..media.types import check_number
from ..precision import to_fp32
from ..guidance.settings import Solver
from .prompts import tokens
from .windows import Window, slice_size, sparing, split

CONTEXT_FRAMES = 16  # what motion modules were trained on
CONTEXT_OVERLAP = 4
SLICE_PIXELS = 2 * 512 * 512  # decoded at once for the loss
DECODE_FRAMES = 8  # frames per slice of the final decode


class AnimateDiff(nn.Module):
    """UNetMotionModel, VAE and CLIP text encoder; the weights are frozen, the UNet is checkpointed when differentiated."""

    def __init__(self, unet: nn.Module, vae: nn.Module, text_encoder: nn.Module, tokenizer: Any, scheduler: Any) -> None:
        super().__init__()
        self.unet, self.vae, self.text_encoder = unet, vae, text_encoder
        self.tokenizer, self.scheduler = tokenizer, scheduler
        self.eval().requires_grad_(False)
        _checkpoint_parts(self.unet)
        _checkpoint_parts(self.vae.decoder, several=False)
        self.pixels_per_latent = 2 ** (len(vae.config.block_out_channels) - 1)

    @property
    def placed_on(self) -> torch.device:
        return self.unet.device  # not named `device`: model managers set that attribute themselves

    @property
    def native_side(self) -> int:
        """The side, in pixels, of the square pictures the model was trained on."""
        return self.unet.config.sample_size * self.pixels_per_latent

    @torch.no_grad()
    def embed_prompt(self, prompts: Sequence[str]) -> Tensor:
        """(len(prompts), 77, D) CLIP text states. Warns when a prompt is longer than CLIP reads."""
        batch = tokens(self.tokenizer, prompts, "AnimateDiff").to(self.placed_on)
        return to_fp32(self.text_encoder(batch.input_ids).last_hidden_state)

    def decode(self, z: Tensor) -> Tensor:
        """z (B, C, F, h, w) -> frames (B, F, 3, 8 h, 8 w), about 0..1 (not clipped: that would stop gradients)."""
        frames = z.transpose(1, 2).flatten(0, 1) / self.vae.config.scaling_factor  # (B F, C, h, w)
        decoded = to_fp32(self.vae.decode(frames.to(self.vae.dtype)).sample)
        return (decoded / 2 + 0.5).unflatten(0, (len(z), -1))


def _checkpoint_parts(model: nn.Module, *, several: bool = True) -> None:
    """Makes each convolution block, attention block and motion module throw its activations away and make them again.

    diffusers' own switch leaves attention and motion modules out, which are most of the memory.  several: False is only where
    memory is short (`sparing`).
    """
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.transformers.transformer_2d import Transformer2DModel
    from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

    for part in model.modules():
        if isinstance(part, (ResnetBlock2D, Transformer2DModel, AnimateDiffTransformer3D)):
            part.forward = partial(sparing, part.forward, several=several)


@dataclass(frozen=True)
class ConditionedAnimateDiff:
    """AnimateDiff with a prompt and a size set: the `Denoiser` of one run.

    positive, negative: (1 or B, 77, D) and (1, 77, D) prompt embeddings; the first is only where the tuned prompt of a run
    starts from.
    frames: how many, at `fps`; more than 16 are made in overlapping windows.  width, height: pixels.
    """

    model: AnimateDiff
    positive: Tensor
    negative: Tensor
    frames: int
    fps: float
    width: int
    height: int
    guidance_scale: float = 7.5
    medium = "picture"

    @classmethod
    def from_prompt(
        cls, model: AnimateDiff, prompt: str | Sequence[str], negative_prompt: str = "", *, duration_s: float, fps: float = 8.0,
        width: int = 0, height: int = 0, guidance_scale: float = 7.5,
    ) -> ConditionedAnimateDiff:
        """prompt: one for all samples of a run, or one for each.  width, height: pixels, rounded down to multiples of 8; 0 is
        the model's own side.
        """
        prompts = [prompt] if isinstance(prompt, str) else prompt
        *positive, negative = model.embed_prompt([*prompts, negative_prompt]).split(1)
        step = model.pixels_per_latent
        for name, side in (("width", width), ("height", height)):
            check_number(name, side or model.native_side, 2 * step, 4096, unit="pixels")
        sides = [model.native_side if side == 0 else side // step * step for side in (width, height)]
        return cls(model, torch.cat(positive), negative, max(1, round(duration_s * fps)), fps, *sides, guidance_scale)

    @property
    def duration_s(self) -> float:
        return self.frames / self.fps

    @property
    def times_s(self) -> Tensor:
        return torch.arange(self.frames, dtype=torch.float64) / self.fps

    @property
    def windows(self) -> list[Window]:
        return split(self.frames, CONTEXT_FRAMES, CONTEXT_OVERLAP)

    def initial_noise(self, seeds: Sequence[int]) -> Tensor:
        step = self.model.pixels_per_latent
        shape = (self.model.unet.config.in_channels, self.frames, self.height // step, self.width // step)
        return seeded_noise(shape, seeds, next(self.model.unet.parameters()))

    def initial_prompt(self, batch: int) -> Tensor:
        return self.positive.expand(batch, -1, -1)

    def new_scheduler(self, steps: int, solver: Solver = "ddim") -> Any:
        return fresh_scheduler(self.model.scheduler, steps, solver)

    def predict_noise(self, z: Tensor, t: Tensor, prompt: Tensor, *, cfg: bool = True) -> Tensor:
        """z (B, C, F, h, w), prompt (B, 77, D) -> eps; a long film window by window, cross-faded."""
        return in_windows(partial(self._predict, scale=self.guidance_scale if cfg else 1), self.windows, z, t, prompt)

    def _predict(self, z: Tensor, t: Tensor, prompt: Tensor, *, scale: float) -> Tensor:
        model = self.model.unet

        def unet(latents: Tensor, states: Tensor) -> Tensor:
            # The spatial blocks see frames as a batch: each needs its own copy of the text.
            states = states.repeat_interleave(latents.shape[2], 0).to(model.dtype)
            return to_fp32(model(latents.to(model.dtype), t, states).sample)

        return guided_noise(unet, z, prompt, self.negative, scale)

    def slices(self, z: Tensor, slice_frames: int = 0) -> Sequence[Tensor]:
        """(B, C, F, h, w) -> the same in pieces of as many frames as are decoded at once (`AlignSettings.slice_frames`)."""
        usual = slice_frames or max(1, SLICE_PIXELS // (self.width * self.height))
        return z.split(slice_size(usual), dim=2)

    def decode_frames(self, z: Tensor, slice_frames: int = 0) -> Tensor:
        """(B, C, F, h, w) -> all frames (B, F, 3, H, W), about 0..1; differentiable. Several slices are decoded again for the
        backward pass.
        """
        slices = self.slices(z, slice_frames)
        return torch.cat([sparing(self.model.decode, part, several=len(slices) > 1) for part in slices], 1)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """(B, F, 3, H, W) frames, 0..1, a few at a time."""
        slices = z.split(slice_size(DECODE_FRAMES), dim=2)
        return torch.cat([self.model.decode(part).float().clamp(0, 1).cpu() for part in slices], dim=1)
