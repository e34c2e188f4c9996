"""Stage "picture_vae": the pocket AutoencoderKL of the video model, in Stable Diffusion's layout and scale."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from tests.pocket.judges import event_match, judge_video_kind, picture_event_times
from tests.pocket.training.common import Card, Folders, Run, fast_precision, trainable
from tests.pocket.world import TEST_SEEDS, make_clip, plan_scene, scene_frames
from tests.pocket.world_kinds import KIND_NAMES

STAGE = "picture_vae"
SD_SCALING_FACTOR = 0.18215
STEPS, BATCH, POOL_CLIPS, POOL_FRAMES, SEED = 1600, 24, 1500, 8, 31
KL_WEIGHT = 5e-4
TESTS = 96


def build_picture_vae() -> AutoencoderKL:
    """3 channels to 4 latent channels, each side divided by 8."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 48, 48),
        layers_per_block=1,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=SD_SCALING_FACTOR,
    )


def frame_pool(clips: int, frames_each: int, first_seed: int = 0) -> Tensor:
    """Frames spread over the first clips of the training world: (clips * frames_each, 3, 64, 64), uint8."""
    pool = []
    for seed in range(first_seed, first_seed + clips):
        frames = scene_frames(plan_scene(seed))
        chosen = torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed))[:frames_each]
        pool.append((frames[chosen] * 255).round().byte())
    return torch.cat(pool)


def _picture_loss(made: Tensor, real: Tensor) -> Tensor:
    """Absolute error of pixels and of their differences; saturated pixels weigh more, for they carry the kind."""
    saturation = real.amax(1, keepdim=True) - real.amin(1, keepdim=True)  # (B, 1, H, W), 0..2
    error = made - real
    pixels = ((1 + 2 * saturation) * error.abs()).mean()
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return pixels + 0.5 * edges


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, frames: Tensor) -> None:
    """Give every latent channel mean 0 and the standard deviation that 0.18215 undoes, as in SD 1.5.

    The 1x1 convolutions on both sides of the latent take the change up, so the pictures stay the same.
    """
    means = torch.cat([vae.encode(part).latent_dist.mode() for part in frames.split(64)])
    mean, scale = means.mean((0, 2, 3)), means.std((0, 2, 3)) * SD_SCALING_FACTOR  # (4,), (4,)
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:4] /= scale[:, None, None, None]
    quant.bias[:4].sub_(mean).div_(scale)
    quant.bias[4:] -= 2 * scale.log()
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= scale[None, :, None, None]


def train_picture_vae(folders: Folders, precision: str = "auto") -> Card:
    """Train the VAE on single frames, normalise its latents, save it under sd/vae."""
    torch.manual_seed(SEED)
    vae = build_picture_vae().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(trainable(vae), lr=2e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    pool = frame_pool(POOL_CLIPS, POOL_FRAMES)

    def step_losses(_: int) -> dict[str, float]:
        real = pool[torch.randint(len(pool), (BATCH,))].float() / 127.5 - 1  # (B, 3, 64, 64)
        real = real.contiguous(memory_format=torch.channels_last)
        with fast_precision(precision):
            posterior = vae.encode(real).latent_dist
            made = vae.decode(posterior.sample()).sample.float()
        picture, kl = _picture_loss(made, real), posterior.kl().float().mean() / posterior.mean[0].numel()
        optimiser.zero_grad(set_to_none=True)
        (picture + KL_WEIGHT * kl).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        return {"picture": picture.item(), "kl": kl.item()}

    card = Run(STAGE, {"vae": vae}, [optimiser], STEPS, SEED).go(step_losses, folders)
    normalise_latents(vae, pool[:2048].float() / 127.5 - 1)
    vae.to(memory_format=torch.contiguous_format).half().save_pretrained(picture_vae_path(folders.out))
    card.scores = picture_vae_scores(vae.float().eval())
    return card


@torch.no_grad()
def picture_vae_scores(vae: AutoencoderKL) -> dict[str, float]:
    """Kinds that the judge still knows after the VAE, and how well event times match before and after it."""
    right, before, after = 0, 0.0, 0.0
    for index in range(TESTS):
        clip = make_clip(TEST_SEEDS + index, kind=KIND_NAMES[index % len(KIND_NAMES)])
        made = vae(clip.frames * 2 - 1).sample / 2 + 0.5
        right += judge_video_kind(made)[0] == clip.kind
        before += event_match(picture_event_times(clip.frames, clip.fps, clip.kind), clip.event_times_s)
        after += event_match(picture_event_times(made, clip.fps, clip.kind), clip.event_times_s)
    return {"kind_right": right / TESTS, "events_real": before / TESTS, "events_rebuilt": after / TESTS}


def picture_vae_path(out: Path) -> Path:
    """Where the VAE lies in a models folder."""
    return out / "animatediff" / "sd" / "vae"
