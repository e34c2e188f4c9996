"""Stages "picture_vae" and "video": the pocket Stable Diffusion and AnimateDiff, from nothing.

The video stage learns single frames first (the UNet alone, many different pictures per step), then clips
(UNet and motion modules together), on latents made once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNetMotionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.weights import load_animatediff
from tests.pocket.training.common import Card, Folders, Run, fast_precision, trainable
from tests.pocket.training.picture_text import (
    captions_of_world,
    save_text,
    tokenize,
    train_text_encoder,
)
from tests.pocket.training.picture_vae import picture_vae_path, train_picture_vae
from tests.pocket.training.video_models import (
    build_motion_adapter,
    build_scheduler,
    build_unet,
    noise_at,
    save_pipeline,
)
from tests.pocket.training.video_sampling import (
    hue_drift_deg,
    kind_counts,
    sample_clips,
    share_right,
    share_with_events,
)
from tests.pocket.world import TEST_SEEDS, plan_scene, scene_frames
from tests.pocket.world_kinds import (
    AMBIGUOUS_CAPTIONS,
    KIND_NAMES,
    KINDS,
    kind_index,
    precise_captions,
)

__all__ = ["train_picture_vae", "train_video"]

SEED = 33
POOL_CLIPS, POOL_SECONDS, FIRST_SEED = 1600, 4.0, 400_000
FRAME_BATCH, CLIP_BATCH, CLIP_FRAMES = 128, 10, 16
# How often each kind of caption is seen: precise, partial, ambiguous, empty (for classifier-free guidance).
LEVEL_SHARES = torch.tensor([0.5, 0.2, 0.2, 0.1])
TEXT_NOISE = 0.1  # so that the UNet is smooth round its prompts, which prompt tuning walks through
WEIGHT_LIMIT = 400.0
TESTS = 64


class Captions:
    """Embeddings of all captions of the world, drawn for the kind of a clip."""

    def __init__(self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel) -> None:
        texts, kinds, levels = captions_of_world()
        with torch.no_grad():
            self.table = encoder(tokenize(tokenizer, texts)).last_hidden_state  # (N, 77, width)
        fits = (kinds[None] == torch.arange(len(KINDS))[:, None]) | (kinds[None] < 0)  # (K, N)
        shares = torch.zeros(fits.shape)
        for level, share in enumerate(LEVEL_SHARES):
            rows = fits & (levels[None] == level)
            shares += share * rows / rows.sum(1, keepdim=True)
        self.shares = shares

    def draw(self, kinds: Tensor) -> Tensor:
        """One noisy caption embedding per kind index: (B,) to (B, 77, width)."""
        chosen = self.table[torch.multinomial(self.shares[kinds], 1)[:, 0]]
        return chosen + TEXT_NOISE * torch.randn_like(chosen)


@torch.no_grad()
def latent_pool(vae: AutoencoderKL, folders: Folders, precision: str) -> tuple[Tensor, Tensor]:
    """Scaled latents of clips of the training world, (N, T, 4, 8, 8), and their kinds (N,); kept for a resumed run."""
    path = folders.work / "picture_latents.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    vae.to(memory_format=torch.channels_last)
    latents, kinds = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + POOL_CLIPS):
        scene = plan_scene(seed, POOL_SECONDS)
        with fast_precision(precision):
            frames = (scene_frames(scene) * 2 - 1).contiguous(memory_format=torch.channels_last)
            mean = vae.encode(frames).latent_dist.mode()
        latents.append(mean.float() * vae.config.scaling_factor)
        kinds.append(kind_index(scene.kind))
    torch.save((torch.stack(latents).contiguous(), torch.tensor(kinds)), path)
    return torch.load(path, weights_only=True)


def _noise_loss(model: UNet2DConditionModel | UNetMotionModel, z0: Tensor, text: Tensor, precision: str) -> Tensor:
    """Error of the predicted noise, weighted as the error of a velocity would be.

    z0 is (B, 4, H, W) or (B, 4, T, H, W). Unweighted, the noisiest steps, where kind and colour are decided,
    would count for nothing, since there the noise is nearly the input.
    """
    count = z0.shape[0]
    steps = torch.randint(0, 1000, (count,))
    alpha_bar = build_scheduler().alphas_cumprod[steps].view(-1, *[1] * (z0.dim() - 1))
    noise = torch.randn_like(z0)
    with fast_precision(precision):
        made = model(noise_at(z0, noise, alpha_bar), steps, text).sample
    error = (made.float() - noise).square().flatten(1).mean(1)
    return (error / alpha_bar.flatten()).clamp_max(WEIGHT_LIMIT).mean()


@dataclass(frozen=True)
class Phase:
    """One optimisation: its steps and its highest learning rate."""

    name: str
    steps: int
    rate: float


FRAMES = Phase("frames", 2200, 1.5e-3)
CLIPS = Phase("clips", 1200, 1e-3)


def _fit(
    phase: Phase,
    model: UNet2DConditionModel | UNetMotionModel,
    draw: Callable[[], tuple[Tensor, Tensor]],
    folders: Folders,
    precision: str,
) -> Card:
    """Train a model on what `draw` gives: latents and caption embeddings."""
    model.train()
    model.set_attn_processor(AttnProcessor())  # faster than the fused one for so few tokens
    optimiser = torch.optim.AdamW(trainable(model), lr=phase.rate, betas=(0.9, 0.99), weight_decay=1e-3)

    def step_losses(_: int) -> dict[str, float]:
        loss = _noise_loss(model, *draw(), precision)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return {phase.name: loss.item()}

    run = Run(phase.name, {"model": model}, [optimiser], phase.steps, SEED, ema_decay=0.998)
    return run.go(step_losses, folders)


def _train_frames(
    unet: UNet2DConditionModel, latents: Tensor, kinds: Tensor, captions: Captions, folders: Folders, precision: str
) -> Card:
    def draw() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(latents), (FRAME_BATCH,))
        frames = torch.randint(latents.shape[1], (FRAME_BATCH,))
        return latents[rows, frames], captions.draw(kinds[rows])

    return _fit(FRAMES, unet, draw, folders, precision)


def _train_clips(
    model: UNetMotionModel, latents: Tensor, kinds: Tensor, captions: Captions, folders: Folders, precision: str
) -> Card:
    def draw() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(latents), (CLIP_BATCH,))
        starts = torch.randint(latents.shape[1] - CLIP_FRAMES + 1, (CLIP_BATCH,))
        windows = torch.stack([latents[row, start : start + CLIP_FRAMES] for row, start in zip(rows, starts)])
        return windows.transpose(1, 2), captions.draw(kinds[rows]).repeat_interleave(CLIP_FRAMES, 0)

    return _fit(CLIPS, model, draw, folders, precision)


def train_video(folders: Folders, precision: str = "auto") -> Card:
    """Train text encoder, UNet and motion adapter; save, load from the files and judge them."""
    out = folders.out / "animatediff"
    vae = AutoencoderKL.from_pretrained(picture_vae_path(folders.out), torch_dtype=torch.float32).requires_grad_(False)
    tokenizer, encoder, text_card = train_text_encoder(folders)
    latents, kinds = latent_pool(vae, folders, precision)
    captions = Captions(tokenizer, encoder)
    torch.manual_seed(SEED)
    unet, adapter = build_unet(), build_motion_adapter()
    cards = [text_card, _train_frames(unet, latents, kinds, captions, folders, precision)]
    model = UNetMotionModel.from_unet2d(unet, adapter)
    cards.append(_train_clips(model, latents, kinds, captions, folders, precision))
    save_pipeline(model, out)
    save_text(tokenizer, encoder, out / "sd")
    losses = {name: value for part in cards for name, value in part.losses.items()}
    card = Card("video", sum(part.steps for part in cards), round(sum(part.seconds for part in cards), 1), losses)
    card.scores = video_scores(load_animatediff(out / "sd", out / "motion_adapter"))
    return card


def video_scores(model: AnimateDiff) -> dict[str, float]:
    """What the picture judge says of clips from precise captions, and from ambiguous ones, where chance is 1/8."""
    kinds = [KIND_NAMES[i % len(KINDS)] for i in range(TESTS)]
    seeds = [TEST_SEEDS + i for i in range(TESTS)]
    options = [precise_captions(KINDS[kind_index(kind)]) for kind in kinds]
    prompts = [texts[i // len(KINDS) % len(texts)] for i, texts in enumerate(options)]
    precise = sample_clips(model, prompts, seeds)
    strong = sample_clips(model, prompts, seeds, cfg_scale=7.5)
    vague = sample_clips(model, [AMBIGUOUS_CAPTIONS[i // len(KINDS) % len(AMBIGUOUS_CAPTIONS)] for i in range(TESTS)], seeds)
    drifts = torch.tensor([hue_drift_deg(clip) for clip in precise])
    return {
        "precise_right": share_right(precise, kinds),
        "precise_right_cfg_7.5": share_right(strong, kinds),
        "precise_with_events": share_with_events(precise, kinds),
        "hue_drift_deg": round(drifts.mean().item(), 2),
        "ambiguous_right": share_right(vague, kinds),
        "ambiguous_commonest": max(kind_counts(vague)) / TESTS,
    }
