"""Clips that binders learn from, spoilt as what a guided model makes is: blurred, noisy, mixed, decoded."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seeing_core.binders.imagebind_inputs import RATE_HZ
from tests.pocket.training.common import Folders, fast_precision
from tests.pocket.training.contrast import clip_meanings, kind_targets, word_meanings
from tests.pocket.training.mel import LogMel
from tests.pocket.training.scoring import load_sound_decoder
from tests.pocket.world import plan_scene, scene_captions, scene_frames, scene_samples
from tests.pocket.world_kinds import kind_index

SEED_BASE = 1_300_000
CLIPS = 1600
IMPERFECT = 400
DURATION_S = 2.0


@dataclass(frozen=True)
class Pool:
    """Clips to learn from; `imperfect` sounds come out of autoencoder and vocoder, some of them mixed or noised."""

    videos: Tensor  # (N, 16, 3, 64, 64) bytes
    samples: Tensor  # (N, n)
    kinds: Tensor  # (N,)
    meanings: Tensor  # (N, M), see `contrast`
    captions: list[tuple[str, str, str]]
    starts_s: list[tuple[float, ...]]  # when something happens in each
    imperfect: Tensor  # (I, n)
    imperfect_meanings: Tensor  # (I, M)


def imperfect_sounds(folders: Folders, samples: Tensor, clip_means: Tensor) -> tuple[Tensor, Tensor]:
    """Sounds as a guided model hears them: decoded latents, plain, mixed in pairs or noised: (I, n), (I, M)."""
    vae, vocoder = load_sound_decoder(folders.out / "audioldm")
    log_mel = LogMel()
    made: list[Tensor] = []
    meanings: list[Tensor] = []
    with torch.no_grad(), fast_precision():
        for rows in torch.randperm(len(samples))[:IMPERFECT].split(8):
            latent = vae.encode(log_mel(samples[rows])[:, None]).latent_dist.mean.float()
            share = torch.rand(len(rows)).clamp(0, 1) * (torch.rand(len(rows)) < 0.5)  # half are not mixed
            noise = 0.5 * torch.rand(len(rows)) * (torch.rand(len(rows)) < 0.5)
            mixed = latent.lerp(latent.roll(1, 0), share.view(-1, 1, 1, 1))
            mixed = mixed + latent.std() * noise.view(-1, 1, 1, 1) * torch.randn_like(mixed)
            made.append(vocoder(vae.decode(mixed).sample[:, 0].float()).float())
            certain = clip_means[rows]
            meanings.append(certain.lerp(certain.roll(1, 0), share[:, None]))
    return torch.cat(made)[:, : samples.shape[1]], torch.cat(meanings)


def make_pool(folders: Folders, clips: int = CLIPS) -> Pool:
    """Draw the clips once."""
    scenes = [plan_scene(SEED_BASE + i, DURATION_S) for i in range(clips)]
    samples = torch.stack([scene_samples(scene) for scene in scenes])
    kinds = torch.tensor([kind_index(scene.kind) for scene in scenes])
    meanings = clip_meanings(kind_targets(kinds), [scene.traits for scene in scenes])
    return Pool(
        torch.stack([(scene_frames(scene) * 255).byte() for scene in scenes]),
        samples,
        kinds,
        meanings,
        [scene_captions(scene) for scene in scenes],
        [scene.starts_s for scene in scenes],
        *imperfect_sounds(folders, samples, meanings),
    )


def spoilt_frames(frames: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """Frames (B, T, 3, 64, 64), 0..1, and meanings (B, M): the first third mixed in pairs, some blurred, all a little noisy."""
    third = len(frames) // 3
    share = 0.7 * torch.rand(third)
    frames, means = frames.clone(), means.clone()
    frames[:third] = frames[:third].lerp(frames[:third].roll(1, 0), share.view(-1, 1, 1, 1, 1))
    means[:third] = means[:third].lerp(means[:third].roll(1, 0), share[:, None])
    flat = frames.flatten(0, 1)
    blurred = nn.functional.interpolate(nn.functional.avg_pool2d(flat, 3, 2, 1), size=64, mode="bilinear")
    blur = torch.rand(len(flat), 1, 1, 1) * (torch.rand(len(flat), 1, 1, 1) < 0.5)
    flat = flat.lerp(blurred, blur) + 0.05 * torch.rand(len(flat), 1, 1, 1) * torch.randn_like(flat)
    return flat.clamp(0, 1).unflatten(0, frames.shape[:2]), means


def spoilt_sounds(pool: Pool, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Samples (B, n) of these clips and their meanings (B, M).

    A quarter is mixed in pairs, one low-passed or noisy, one replaced by imperfect sounds, and one clean.
    """
    samples, means = pool.samples[rows].clone(), pool.meanings[rows].clone()
    quarter = len(rows) // 4
    mix, spoil, swap = (slice(i * quarter, (i + 1) * quarter) for i in range(3))
    share = torch.rand(quarter, 1)
    samples[mix] = samples[mix].lerp(samples[mix].roll(1, 0), share)
    means[mix] = means[mix].lerp(means[mix].roll(1, 0), share)
    low = nn.functional.avg_pool1d(samples[spoil][:, None], 3, 1, 1)[:, 0]
    noise = 0.03 * torch.rand(quarter, 1) * torch.randn_like(low)
    samples[spoil] = samples[spoil].lerp(low, torch.rand(quarter, 1)) + noise
    chosen = torch.randint(len(pool.imperfect), (quarter,))
    samples[swap], means[swap] = pool.imperfect[chosen], pool.imperfect_meanings[chosen]
    return samples, means


def gains(count: int) -> Tensor:
    """(count, 1): up to a decibel and a half up or down."""
    return 10 ** (0.15 * (torch.rand(count, 1) - 0.5))


def one_second(samples: Tensor) -> Tensor:
    """The same second of all, each a little louder or quieter: only a little, for loudness tells the force."""
    start = int(torch.randint(samples.shape[1] - RATE_HZ + 1, ()))
    return samples[:, start : start + RATE_HZ] * gains(len(samples))


def caption_batch(pool: Pool, rows: Tensor) -> tuple[list[str], Tensor]:
    """One caption per clip, 45 % precise, 35 % partial, 20 % ambiguous, and their meanings (B, M)."""
    level = torch.bucketize(torch.rand(len(rows)), torch.tensor([0.45, 0.80])).tolist()
    texts = [pool.captions[row][choice] for row, choice in zip(rows.tolist(), level)]
    kinds = kind_targets(pool.kinds[rows])
    kinds[torch.tensor(level) == 2] = 1 / kinds.shape[1]
    return texts, word_meanings(kinds)
