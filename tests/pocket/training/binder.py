"""Trains ImageBind's picture, sound and text towers on the pocket world."""

import json
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seeing_core.binders.imagebind import build
from seeing_core.binders.imagebind_inputs import (
    RATE_HZ,
    RGB_MEAN,
    RGB_STD,
    audio_input,
    clip_segments,
    frame_indices,
    to_square,
)
from seeing_core.binders.imagebind_package import tokenizer
from seeing_core.guidance.state import unit_rms
from seeing_core.media.types import VideoFrames
from tests.pocket.training.common import (
    Card,
    Folders,
    Run,
    fast_precision,
    save_half,
    trainable,
)
from tests.pocket.training.contrast import agreement_loss, kind_targets
from tests.pocket.training.mel import LogMel
from tests.pocket.training.scoring import load_sound_decoder
from tests.pocket.training.scoring_binder import binder_scores
from tests.pocket.world import (
    FPS,
    plan_scene,
    scene_captions,
    scene_frames,
    scene_samples,
)
from tests.pocket.world_kinds import KINDS, kind_index, precise_captions

SEED_BASE = 1_300_000
CLIPS = 1600
IMPERFECT = 400
STEPS = 500
HARD_STEPS = 220
LATENT_STEPS = 600
SOUND_REACH = 0.07  # of ImageBind's normalised log-mel: 0.6 nats
PICTURE_REACH = 0.10  # of CLIP's normalised pixels: 7 of 255
LATENT_REACH = 0.7  # of AudioLDM's scaled latents, root mean square
LATENT_BATCH = 16
BATCH = 32
DURATION_S = 2.0
CONFIG: dict[str, object] = {
    "out_embed_dim": 64,
    "vision_embed_dim": 64,
    "vision_num_blocks": 2,
    "vision_num_heads": 4,
    "audio_embed_dim": 64,
    "audio_num_blocks": 2,
    "audio_num_heads": 4,
    "audio_drop_path": 0.0,
    "text_embed_dim": 12,
    "text_num_blocks": 2,
    "text_num_heads": 2,
    "depth_embed_dim": 4,
    "depth_num_blocks": 1,
    "depth_num_heads": 1,
    "thermal_embed_dim": 4,
    "thermal_num_blocks": 1,
    "thermal_num_heads": 1,
    "imu_embed_dim": 4,
    "imu_num_blocks": 1,
    "imu_num_heads": 1,
}


@dataclass(frozen=True)
class Pool:
    """Clips to learn from; `imperfect` sounds come out of autoencoder and vocoder, some of them mixed or noised."""

    pictures: Tensor  # (N, S, 2, 3, 64, 64) bytes
    samples: Tensor  # (N, n)
    kinds: Tensor  # (N,)
    captions: list[tuple[str, str, str]]
    imperfect: Tensor  # (M, n)
    imperfect_kinds: Tensor  # (M, K), rows sum to 1


def imperfect_sounds(folders: Folders, samples: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Sounds as a guided model hears them: decoded latents, plain, mixed in pairs or noised: (M, n), (M, K)."""
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
            certain = kind_targets(kinds[rows])
            meanings.append(certain.lerp(certain.roll(1, 0), share[:, None]))
    return torch.cat(made)[:, : samples.shape[1]], torch.cat(meanings)


def make_pool(folders: Folders) -> Pool:
    """Draw the clips once."""
    scenes = [plan_scene(SEED_BASE + i, DURATION_S) for i in range(CLIPS)]
    pictures = []
    for scene in scenes:
        frames = scene_frames(scene)
        picks = [frame_indices(VideoFrames(frames, FPS).times_s, segment) for segment in clip_segments(DURATION_S)]
        pictures.append((torch.stack([frames[pick] for pick in picks]) * 255).byte())
    samples = torch.stack([scene_samples(scene) for scene in scenes])
    kinds = torch.tensor([kind_index(scene.kind) for scene in scenes])
    return Pool(
        torch.stack(pictures),
        samples,
        kinds,
        [scene_captions(scene) for scene in scenes],
        *imperfect_sounds(folders, samples, kinds),
    )


def picture_input(frames: Tensor) -> Tensor:
    """The binder's `ImageBind.preprocess_frames` for a batch: (B, S, 2, 3, 64, 64), 0..1, to (B, S, 3, 2, 224, 224)."""
    pixels = to_square(frames.flatten(0, 2)).unflatten(0, frames.shape[:3])
    mean, std = (pixels.new_tensor(value).view(3, 1, 1, 1) for value in (RGB_MEAN, RGB_STD))
    return (pixels.movedim(3, 2) - mean) / std


def picture_batch(pool: Pool, rows: Tensor) -> tuple[Tensor, Tensor]:
    """ImageBind's picture input (B, 1, 3, 2, 224, 224), one of each clip's seconds, and kinds (B, K).

    Some are blurred, noisy or mixed in pairs.
    """
    second = torch.randint(pool.pictures.shape[1], (len(rows),))
    frames = pool.pictures[rows, second][:, None].float() / 255  # (B, 1, 2, 3, 64, 64)
    kinds = kind_targets(pool.kinds[rows])
    third = len(rows) // 3
    share = 0.7 * torch.rand(third)
    frames[:third] = frames[:third].lerp(frames[:third].roll(1, 0), share.view(-1, 1, 1, 1, 1, 1))
    kinds[:third] = kinds[:third].lerp(kinds[:third].roll(1, 0), share[:, None])
    flat = frames.flatten(0, 2)
    blurred = nn.functional.interpolate(nn.functional.avg_pool2d(flat, 3, 2, 1), size=64, mode="bilinear")
    blur = torch.rand(len(flat), 1, 1, 1) * (torch.rand(len(flat), 1, 1, 1) < 0.5)
    flat = flat.lerp(blurred, blur) + 0.05 * torch.rand(len(flat), 1, 1, 1) * torch.randn_like(flat)
    return picture_input(flat.clamp(0, 1).unflatten(0, frames.shape[:3])), kinds


def sound_batch(pool: Pool, rows: Tensor) -> tuple[Tensor, Tensor]:
    """ImageBind's sound input (B, 1, 1, 128, 204), one second of each clip, and kinds (B, K).

    A quarter is clean, a quarter mixed in pairs, a quarter low-passed or noisy, a quarter imperfect.
    """
    samples, kinds = pool.samples[rows].clone(), kind_targets(pool.kinds[rows])
    quarter = len(rows) // 4
    mix, spoil, swap = (slice(i * quarter, (i + 1) * quarter) for i in range(3))
    share = torch.rand(quarter, 1)
    samples[mix] = samples[mix].lerp(samples[mix].roll(1, 0), share)
    kinds[mix] = kinds[mix].lerp(kinds[mix].roll(1, 0), share)
    low = nn.functional.avg_pool1d(samples[spoil][:, None], 3, 1, 1)[:, 0]
    noise = 0.03 * torch.rand(quarter, 1) * torch.randn_like(low)
    samples[spoil] = samples[spoil].lerp(low, torch.rand(quarter, 1)) + noise
    chosen = torch.randint(len(pool.imperfect), (quarter,))
    samples[swap], kinds[swap] = pool.imperfect[chosen], pool.imperfect_kinds[chosen]
    start = int(torch.randint(samples.shape[1] - RATE_HZ + 1, ()))
    samples = samples[:, start : start + RATE_HZ] * (0.3 + 0.9 * torch.rand(len(rows), 1))
    return audio_input(samples, 1.0), kinds


def caption_batch(pool: Pool, rows: Tensor) -> tuple[list[str], Tensor]:
    """One caption per clip, 45 % precise, 35 % partial, 20 % ambiguous, and what it says of the kind (B, K)."""
    level = torch.bucketize(torch.rand(len(rows)), torch.tensor([0.45, 0.80])).tolist()
    texts = [pool.captions[row][choice] for row, choice in zip(rows.tolist(), level)]
    kinds = kind_targets(pool.kinds[rows])
    kinds[torch.tensor(level) == 2] = 1 / kinds.shape[1]
    return texts, kinds


def encode(towers: nn.Module, **inputs: Tensor) -> list[Tensor]:
    """Unit embeddings (B, D) of each given modality."""
    return [nn.functional.normalize(value, dim=-1) for value in towers(inputs).values()]


def hardened(
    towers: nn.Module, modality: str, inputs: Tensor, kinds: Tensor, anchors: Tensor, anchor_kinds: Tensor, reach: float
) -> Tensor:
    """Inputs moved by up to `reach` in every number towards a wrong reading (one signed step from a random start).

    A tower that withstands this has gradients that change what is seen or heard, not only its own opinion.
    """
    moved = (inputs + reach * (2 * torch.rand_like(inputs) - 1)).requires_grad_()
    loss = agreement_loss(encode(towers, **{modality: moved})[0], anchors, kinds, anchor_kinds)
    (gradient,) = torch.autograd.grad(loss, moved)
    return (inputs + (moved - inputs + reach * gradient.sign()).clamp(-reach, reach)).detach()


def run_phase(
    name: str, towers: nn.Module, pool: Pool, folders: Folders, *, steps: int, rate: float, seed: int, harden: bool
) -> Card:
    """One run of the binder, on hardened pictures and sounds if asked."""
    tokens_of = tokenizer()
    optimiser = torch.optim.AdamW(trainable(towers), rate, betas=(0.9, 0.98), weight_decay=1e-3)

    def step_losses(_: int) -> dict[str, float]:
        rows = torch.randint(len(pool.samples), (3, BATCH))  # the pairs agree by kind: no need for the same clip
        (pictures, seen), (waveforms, heard), (texts, read) = (
            picture_batch(pool, rows[0]),
            sound_batch(pool, rows[1]),
            caption_batch(pool, rows[2]),
        )
        tokens = tokens_of(texts)
        if harden:
            with torch.no_grad():
                (anchors,) = encode(towers, text=tokens)
            pictures = hardened(towers, "vision", pictures, seen, anchors, read, PICTURE_REACH)
            waveforms = hardened(towers, "audio", waveforms, heard, anchors, read, SOUND_REACH)
        vision, audio, text = encode(towers, vision=pictures, audio=waveforms, text=tokens)
        losses = {
            "picture_sound": agreement_loss(vision, audio, seen, heard),
            "picture_text": agreement_loss(vision, text, seen, read),
            "sound_text": agreement_loss(audio, text, heard, read),
        }
        optimiser.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(trainable(towers), 1.0)
        optimiser.step()
        return {key: value.item() for key, value in losses.items()}

    return Run(name, {"towers": towers}, [optimiser], steps, seed=seed, ema_decay=0.995).go(step_losses, folders)


def harden_in_latents(towers: nn.Module, pool: Pool, folders: Folders, *, steps: int, rate: float, seed: int) -> Card:
    """Teaches the sound tower alone to withstand moves of AudioLDM's latent, which are what the aligner makes.

    Each sound is a decoded latent, moved by up to `LATENT_REACH` towards a wrong reading in two normalised steps.
    """
    vae, vocoder = (part.requires_grad_(False) for part in load_sound_decoder(folders.out / "audioldm"))
    log_mel, factor, tokens_of = LogMel(), vae.config.scaling_factor, tokenizer()
    with torch.no_grad():
        latents = torch.cat(
            [vae.encode(log_mel(part)[:, None]).latent_dist.mean * factor for part in pool.samples.split(16)]
        )  # (N, 8, T, 16)
    second = round(RATE_HZ / pool.samples.shape[1] * latents.shape[2])
    optimiser = torch.optim.AdamW([p for name, p in towers.named_parameters() if ".audio." in name], rate, (0.9, 0.98))

    def heard_as(z: Tensor) -> Tensor:
        return encode(towers, audio=audio_input(vocoder(vae.decode(z / factor).sample[:, 0]), 1.0))[0]

    def step_losses(_: int) -> dict[str, float]:
        rows = torch.randint(len(latents), (3, LATENT_BATCH))
        start = int(torch.randint(latents.shape[2] - second + 1, ()))
        z, heard = latents[rows[0], :, start : start + second], kind_targets(pool.kinds[rows[0]])
        share = torch.rand(len(z)) * (torch.rand(len(z)) < 0.4)  # of another sound, as in what is not yet decided
        z = z.lerp(z.roll(1, 0), share.view(-1, 1, 1, 1))
        heard = heard.lerp(heard.roll(1, 0), share[:, None])
        (pictures, seen), (texts, read) = picture_batch(pool, rows[1]), caption_batch(pool, rows[2])
        with torch.no_grad():
            vision, text = encode(towers, vision=pictures, text=tokens_of(texts))
        anchors, meanings = torch.cat([vision, text]), torch.cat([seen, read])
        reach = LATENT_REACH * torch.rand(len(z), 1, 1, 1)
        for _ in range(2):
            moved = z.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(agreement_loss(heard_as(moved), anchors, heard, meanings), moved)
            z = z + 0.5 * reach * unit_rms(gradient)
        loss = agreement_loss(heard_as(z), anchors, heard, meanings)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trainable(towers), 1.0)
        optimiser.step()
        return {"latent": loss.item()}

    run = Run("binder_latent", {"towers": towers}, [optimiser], steps, seed=seed, ema_decay=0.99)
    return run.go(step_losses, folders)


def train_binder(folders: Folders) -> Card:
    """Train and save the binder."""
    torch.manual_seed(13)
    towers = build(CONFIG)
    pool = make_pool(folders)
    runs = [
        run_phase("binder", towers, pool, folders, steps=STEPS, rate=1e-3, seed=13, harden=False),
        run_phase("binder_hard", towers, pool, folders, steps=HARD_STEPS, rate=8e-4, seed=23, harden=True),
        harden_in_latents(towers, pool, folders, steps=LATENT_STEPS, rate=8e-4, seed=33),
    ]
    card = Card("binder", STEPS + HARD_STEPS + LATENT_STEPS, sum(run.seconds for run in runs), runs[-1].losses)
    card.scores = binder_scores(towers, 128)
    file = folders.out / "imagebind" / "imagebind_pocket.safetensors"
    save_half(towers, file, {"config": json.dumps(CONFIG)})
    file.with_suffix(".txt").write_text(vocabulary(), encoding="utf-8")
    return card


def vocabulary() -> str:
    """What the pocket models can be asked for, for the binder to choose from: one phrase a line."""
    phrases = [phrase for kind in KINDS for phrase in precise_captions(kind)]
    return "\n".join(["# What the pocket models can be asked for. One phrase a line.", *phrases, ""])
