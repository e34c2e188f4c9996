"""Plain AnimateDiff sampling of the pocket models, no guidance but the prompt's, and what the judges say of it."""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNetMotionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from tests.pocket.judges import judge_video_kind, picture_event_times, picture_features
from tests.pocket.training.picture_text import tokenize
from tests.pocket.training.video_models import build_scheduler
from tests.pocket.world import FPS
from tests.pocket.world_kinds import KIND_NAMES

CFG_SCALE, STEPS, FRAMES = 4.0, 25, 16  # 7.5 works too, with hues a little off


@dataclass(frozen=True)
class VideoParts:
    """The models that make a clip, all in fp32."""

    model: UNetMotionModel
    vae: AutoencoderKL
    encoder: CLIPTextModel
    tokenizer: CLIPTokenizer


@torch.no_grad()
def sample_latents(
    parts: VideoParts,
    prompts: list[str],
    seeds: list[int],
    *,
    cfg_scale: float = CFG_SCALE,
    steps: int = STEPS,
    frames: int = FRAMES,
) -> Tensor:
    """Latents of one clip per prompt, as the VAE makes them times its scaling factor: (B, 4, frames, 8, 8)."""
    noises = [torch.randn(4, frames, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    z = torch.stack(noises)
    ids = tokenize(parts.tokenizer, [""] * len(prompts) + prompts)
    text = parts.encoder(ids).last_hidden_state.repeat_interleave(frames, 0)  # (2B * frames, 77, width)
    scheduler = build_scheduler()
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        negative, positive = parts.model(torch.cat([z, z]), t, text).sample.chunk(2)
        z = scheduler.step(negative + cfg_scale * (positive - negative), t, z).prev_sample
    return z


@torch.no_grad()
def decode_latents(vae: AutoencoderKL, z: Tensor) -> Tensor:
    """Frames in 0..1 of latents (B, 4, T, 8, 8): (B, T, 3, 64, 64)."""
    flat = z.transpose(1, 2).flatten(0, 1) / vae.config.scaling_factor
    pictures = torch.cat([vae.decode(part).sample for part in flat.split(32)])
    return (pictures / 2 + 0.5).clamp(0, 1).unflatten(0, (z.shape[0], z.shape[2]))


def sample_clips(
    parts: VideoParts, prompts: list[str], seeds: list[int], *, cfg_scale: float = CFG_SCALE, batch: int = 8
) -> Tensor:
    """Clips of 2 s from prompts: (B, 16, 3, 64, 64), 0..1."""
    made = [
        decode_latents(parts.vae, sample_latents(parts, prompts[i : i + batch], seeds[i : i + batch], cfg_scale=cfg_scale))
        for i in range(0, len(prompts), batch)
    ]
    return torch.cat(made)


def share_right(clips: Tensor, kinds: list[str]) -> float:
    """The share of clips (B, T, 3, H, W) that the picture judge takes for their kind."""
    return sum(judge_video_kind(clip)[0] == kind for clip, kind in zip(clips, kinds)) / len(kinds)


def kind_counts(clips: Tensor) -> list[int]:
    """How many clips the judge takes for each kind, in KIND_NAMES order."""
    judged = [judge_video_kind(clip)[0] for clip in clips]
    return [judged.count(name) for name in KIND_NAMES]


def share_with_events(clips: Tensor, kinds: list[str]) -> float:
    """The share of clips in which the judge finds their kind moving as it does when it sounds."""
    return sum(bool(picture_event_times(clip, FPS, kind)) for clip, kind in zip(clips, kinds)) / len(kinds)


def hue_drift_deg(clip: Tensor) -> float:
    """Root mean square distance of the object's hue in each frame of (T, 3, H, W) from its hue in the whole clip."""
    whole = picture_features(clip)[0]
    each = torch.stack([picture_features(frame[None])[0] for frame in clip])
    return ((each - whole + 180) % 360 - 180).square().mean().sqrt().item()
