"""Trains AudioLDM's autoencoder on the log-mels of the pocket world."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from tests.pocket.training.common import Card, Folders, Run, fast_precision, trainable
from tests.pocket.training.mel import LogMel
from tests.pocket.world import plan_scene, scene_samples

SEED_BASE = 1_000_000
STEPS = 1500
BATCH = 16
CROP_FRAMES = 96
KL_WEIGHT = 2e-3


def sound_pool(first_seed: int, count: int, duration_s: float) -> tuple[Tensor, Tensor]:
    """Sounds of consecutive seeds and their log-mels: (count, n) and (count, T, 64)."""
    log_mel = LogMel()
    samples = torch.stack([scene_samples(plan_scene(first_seed + i, duration_s)) for i in range(count)])
    with torch.inference_mode(False), torch.no_grad():
        mels = torch.cat([log_mel(chunk) for chunk in samples.split(64)])
    return samples, mels


def random_crops(mels: Tensor, frames: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of a pool (N, T, 64): (batch, frames, 64), with their rows and first frames."""
    rows = torch.randint(len(mels), (batch,))
    starts = torch.randint(mels.shape[1] - frames + 1, (batch,))
    crops = torch.stack([mels[row, start : start + frames] for row, start in zip(rows.tolist(), starts.tolist())])
    return crops, rows, starts


def build_vae() -> AutoencoderKL:
    """AudioLDM's autoencoder, narrow: mel (B, 1, T, 64) to latent (B, 8, T / 4, 16)."""
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        latent_channels=8,
        sample_size=64,
        norm_num_groups=8,
        layers_per_block=1,
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        mid_block_add_attention=False,
    )


def loudness_weight(mel: Tensor) -> Tensor:
    """How much an error matters at each point: little in the noise floor, fully in events."""
    return 0.2 + ((mel + 6.5) / 4).clamp(0, 1.3)


def vae_losses(vae: AutoencoderKL, mel: Tensor) -> dict[str, Tensor]:
    """Weighted reconstruction error of log-mels (B, 1, T, 64), and the latent's divergence."""
    with fast_precision():
        posterior = vae.encode(mel).latent_dist
        rebuilt = vae.decode(posterior.sample()).sample
    weight = loudness_weight(mel)
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    return {
        "l1": (weight * (rebuilt.float() - mel).abs()).mean(),
        "kl": 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(),
    }


def latent_scale(vae: AutoencoderKL, mels: Tensor) -> float:
    """1 / the standard deviation of the latents of log-mels (N, T, 64)."""
    with torch.no_grad():
        return 1.0 / vae.encode(mels[:, None]).latent_dist.sample().std().item()


def train_mel_vae(folders: Folders) -> Card:
    """Train and save the autoencoder."""
    torch.manual_seed(11)
    vae = build_vae()
    _, mels = sound_pool(SEED_BASE, 1500, 4.0)
    vae.decoder.conv_out.bias.data.fill_(mels.mean().item())
    optimiser = torch.optim.AdamW(trainable(vae), 1.5e-3, betas=(0.9, 0.98), weight_decay=1e-4)

    def step_losses(_: int) -> dict[str, float]:
        crops, _, _ = random_crops(mels, CROP_FRAMES, BATCH)
        losses = vae_losses(vae, crops[:, None])
        optimiser.zero_grad()
        (losses["l1"] + KL_WEIGHT * losses["kl"]).backward()
        torch.nn.utils.clip_grad_norm_(trainable(vae), 1.0)
        optimiser.step()
        return {key: value.item() for key, value in losses.items()}

    run = Run("mel_vae", {"vae": vae}, [optimiser], STEPS, seed=11, ema_decay=0.995)
    card = run.go(step_losses, folders)
    vae.register_to_config(scaling_factor=latent_scale(vae.eval(), mels[:64, :384]))
    card.scores["scaling_factor"] = vae.config.scaling_factor
    vae.half().save_pretrained(folders.out / "audioldm" / "vae")
    return card
