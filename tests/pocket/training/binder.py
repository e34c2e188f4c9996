"""Trains ImageBind's picture, sound and text towers on the pocket world."""

import json
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seeing_core.binders.imagebind import ImageBind, build
from seeing_core.binders.imagebind_inputs import (
    RATE_HZ,
    audio_input,
    clip_segments,
    clips_of,
    frame_indices,
    to_square,
)
from seeing_core.binders.imagebind_package import tokenizer
from seeing_core.guidance.state import unit_rms
from seeing_core.media.types import VideoFrames
from tests.pocket.training.common import Card, Folders, Run, fast_precision, init_narrow, save_half, trainable
from tests.pocket.training.contrast import agreement_loss, trait_loss
from tests.pocket.training.mel import LogMel
from tests.pocket.training.pool import DURATION_S, Pool, caption_batch, make_pool, one_second, spoilt_frames, spoilt_sounds
from tests.pocket.training.scoring import load_sound_decoder
from tests.pocket.training.scoring_binder import binder_scores
from tests.pocket.world import FPS
from tests.pocket.world_kinds import KINDS, precise_captions

STEPS = 1200
HARD_STEPS = 220
LATENT_STEPS = 600
SOUND_REACH = 0.07  # of ImageBind's normalised log-mel: 0.6 nats
PICTURE_REACH = 0.10  # of CLIP's normalised pixels: 7 of 255
LATENT_REACH = 0.7  # of AudioLDM's scaled latents, root mean square
LATENT_BATCH = 16
BATCH = 32
SECOND = [(0.0, 1.0)]
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


def picture_batch(pool: Pool, rows: Tensor) -> tuple[Tensor, Tensor]:
    """ImageBind's picture input (B, 1, 3, 2, 224, 224), one of each clip's seconds, and meanings (B, M)."""
    times_s = VideoFrames(pool.videos[0], FPS).times_s
    picks = torch.tensor([frame_indices(times_s, segment) for segment in clip_segments(DURATION_S)])
    second = torch.randint(len(picks), (len(rows),))
    frames = pool.videos[rows[:, None], picks[second]].float() / 255  # (B, 2, 3, 64, 64)
    spoilt, means = spoilt_frames(frames, pool.meanings[rows])
    return picture_input(spoilt), means


def picture_input(frames: Tensor) -> Tensor:
    """As the binder itself prepares them: two frames of a second each (B, 2, 3, 64, 64), 0..1 -> (B, 1, 3, 2, 224, 224)."""
    squares = to_square(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
    return clips_of(squares, torch.tensor([[0, 1]]))


def sound_batch(pool: Pool, rows: Tensor) -> tuple[Tensor, Tensor]:
    """ImageBind's sound input (B, 1, 1, 128, 204), one second of each clip, and meanings (B, M)."""
    samples, means = spoilt_sounds(pool, rows)
    return audio_input(one_second(samples), SECOND), means


def encode(towers: nn.Module, **inputs: Tensor) -> list[Tensor]:
    """Unit embeddings (B, D) of each given modality."""
    return [nn.functional.normalize(value, dim=-1) for value in towers(inputs).values()]


def hardened(
    embed: Callable[[Tensor], Tensor], inputs: Tensor, means: Tensor, anchors: Tensor, anchor_means: Tensor, reach: float
) -> Tensor:
    """Inputs moved by up to `reach` in every number towards a wrong reading (one signed step from a random start).

    A tower that withstands this has gradients that change what is seen or heard, not only its own opinion.
    """
    moved = (inputs + reach * (2 * torch.rand_like(inputs) - 1)).requires_grad_()
    loss = agreement_loss(embed(moved), anchors, means, anchor_means)
    (gradient,) = torch.autograd.grad(loss, moved)
    return (inputs + (moved - inputs + reach * gradient.sign()).clamp(-reach, reach)).detach()


def run_phase(
    name: str, towers: nn.Module, pool: Pool, folders: Folders, *, steps: int, rate: float, seed: int, harden: bool
) -> Card:
    """One run of the binder, on hardened pictures and sounds if asked."""
    tokens_of = tokenizer()
    optimiser = torch.optim.AdamW(trainable(towers), rate, betas=(0.9, 0.98), weight_decay=1e-3)

    def step_losses(_: int) -> dict[str, float]:
        rows = torch.randint(len(pool.samples), (3, BATCH))  # the pairs agree by meaning: no need for the same clip
        (pictures, seen), (waveforms, heard), (texts, read) = (
            picture_batch(pool, rows[0]),
            sound_batch(pool, rows[1]),
            caption_batch(pool, rows[2]),
        )
        tokens = tokens_of(texts)
        if harden:
            with torch.no_grad():
                (anchors,) = encode(towers, text=tokens)
            pictures = hardened(lambda x: encode(towers, vision=x)[0], pictures, seen, anchors, read, PICTURE_REACH)
            waveforms = hardened(lambda x: encode(towers, audio=x)[0], waveforms, heard, anchors, read, SOUND_REACH)
        vision, audio, text = encode(towers, vision=pictures, audio=waveforms, text=tokens)
        losses = {
            "picture_sound": agreement_loss(vision, audio, seen, heard),
            "picture_text": agreement_loss(vision, text, seen, read),
            "sound_text": agreement_loss(audio, text, heard, read),
            "traits": sum(trait_loss(one, means) for one, means in ((vision, seen), (audio, heard), (text, read))),
        }
        optimiser.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(trainable(towers), 1.0)
        optimiser.step()
        return {key: value.item() for key, value in losses.items()}

    return Run(name, {"towers": towers}, [optimiser], steps, seed=seed, ema_decay=0.995).go(step_losses, folders)


def harden_in_latents(
    name: str,
    modules: dict[str, nn.Module],
    parameters: list[nn.Parameter],
    losses_for: Callable[[Tensor, int, Tensor], Callable[[Tensor], tuple[Tensor, Tensor]]],
    pool: Pool,
    folders: Folders,
    *,
    steps: int,
    rate: float,
    seed: int,
) -> Card:
    """Teaches a sound tower alone to withstand moves of AudioLDM's latent, which are what the aligner makes.

    Each sound is a decoded latent, moved by up to `LATENT_REACH` towards a wrong reading in two normalised steps.
    parameters: of the sound tower.  losses_for: three rows of clips (3, B), the first those that are heard from this latent frame
    on, and what is heard means -> two losses of a second of samples (B, 16000): the one that the moves raise, and the rest. A move
    that raises the loss of a trait may well change the trait, and to withstand that would be to tell nothing of it.
    """
    vae, vocoder = (part.requires_grad_(False) for part in load_sound_decoder(folders.out / "audioldm"))
    log_mel, factor = LogMel(), vae.config.scaling_factor
    with torch.no_grad():
        latents = torch.cat(
            [vae.encode(log_mel(part)[:, None]).latent_dist.mean * factor for part in pool.samples.split(16)]
        )  # (N, 8, T, 16)
    second = round(RATE_HZ / pool.samples.shape[1] * latents.shape[2])
    optimiser = torch.optim.AdamW(parameters, rate, (0.9, 0.98))

    def samples_of(z: Tensor) -> Tensor:
        with fast_precision():
            return vocoder(vae.decode(z / factor).sample[:, 0]).float()

    def step_losses(_: int) -> dict[str, float]:
        rows = torch.randint(len(latents), (3, LATENT_BATCH))
        start = int(torch.randint(latents.shape[2] - second + 1, ()))
        z, heard = latents[rows[0], :, start : start + second], pool.meanings[rows[0]]
        share = torch.rand(len(z)) * (torch.rand(len(z)) < 0.4)  # of another sound, as in what is not yet decided
        z = z.lerp(z.roll(1, 0), share.view(-1, 1, 1, 1))
        heard = heard.lerp(heard.roll(1, 0), share[:, None])
        with torch.no_grad():
            losses_of = losses_for(rows, start, heard)
        reach = LATENT_REACH * torch.rand(len(z), 1, 1, 1)
        for _ in range(2):
            moved = z.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(losses_of(samples_of(moved))[0], moved)
            z = z + 0.5 * reach * unit_rms(gradient)
        loss = sum(losses_of(samples_of(z)))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        return {"latent": loss.item()}

    return Run(name, modules, [optimiser], steps, seed=seed, ema_decay=0.99).go(step_losses, folders)


def train_binder(folders: Folders) -> Card:
    """Train and save the binder."""
    torch.manual_seed(13)
    towers = build(CONFIG)
    init_narrow(towers)
    pool, tokens_of = make_pool(folders), tokenizer()

    def losses_for(rows: Tensor, start: int, heard: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        (pictures, seen), (texts, read) = picture_batch(pool, rows[1]), caption_batch(pool, rows[2])
        anchors, meanings = torch.cat(encode(towers, vision=pictures, text=tokens_of(texts))), torch.cat([seen, read])

        def losses(samples: Tensor) -> tuple[Tensor, Tensor]:
            (audio,) = encode(towers, audio=audio_input(samples, SECOND))
            return agreement_loss(audio, anchors, heard, meanings), trait_loss(audio, heard)

        return losses

    runs = [
        run_phase("binder", towers, pool, folders, steps=STEPS, rate=1e-3, seed=13, harden=False),
        run_phase("binder_hard", towers, pool, folders, steps=HARD_STEPS, rate=8e-4, seed=23, harden=True),
        harden_in_latents(
            "binder_latent",
            {"towers": towers},
            [value for name, value in towers.named_parameters() if ".audio." in name],
            losses_for,
            pool,
            folders,
            steps=LATENT_STEPS,
            rate=8e-4,
            seed=33,
        ),
    ]
    card = Card("binder", STEPS + HARD_STEPS + LATENT_STEPS, sum(run.seconds for run in runs), runs[-1].losses)
    card.scores = binder_scores(ImageBind(towers), 128)
    file = folders.out / "imagebind" / "imagebind_pocket.safetensors"
    save_half(towers, file, {"config": json.dumps(CONFIG)})
    file.with_suffix(".txt").write_text(vocabulary(), encoding="utf-8")
    return card


def vocabulary() -> str:
    """What the pocket models can be asked for, for the binder to choose from: one phrase a line."""
    phrases = [phrase for kind in KINDS for phrase in precise_captions(kind)]
    return "\n".join(["# What the pocket models can be asked for. One phrase a line.", *phrases, ""])
