"""Trains AudioLDM's denoiser on latents of the pocket world's sounds, and saves its scheduler."""

import json
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import (
    ClapTextModelWithProjection,
    PreTrainedTokenizerFast,
    RobertaTokenizerFast,
)

from seeing_core.weights import load_audioldm
from tests.pocket.training.clap import EMBEDDING, embed
from tests.pocket.training.common import Card, Folders, Run, fast_precision, trainable
from tests.pocket.training.mel import LogMel
from tests.pocket.training.scoring import generated_kinds
from tests.pocket.world import plan_scene, scene_captions, scene_samples

SEED_BASE = 1_400_000
STEPS = 2600
MORE_STEPS = 900
EARLY_STEPS = 420
LATENT_FRAME_S = 0.04
# Latent length: clips to draw, batch size. Lengths are multiples of 8, from 1.3 to 4.2 seconds.
LENGTHS: dict[int, tuple[int, int]] = {32: (900, 28), 56: (1800, 16), 80: (800, 11), 104: (600, 8)}
LENGTH_SHARES = (0.2, 0.45, 0.2, 0.15)
CAPTION_SHARES = (0.4, 0.2, 0.1, 0.12)  # precise, partial, ambiguous, empty; the rest is half certain
EMPTY = 3
EMBEDDING_NOISE = 0.15
MODEL_INDEX: dict[str, str | list[str]] = {
    "_class_name": "AudioLDMPipeline",
    "_diffusers_version": "0.33.1",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "ClapTextModelWithProjection"],
    "tokenizer": ["transformers", "RobertaTokenizer"],
    "vocoder": ["transformers", "SpeechT5HifiGan"],
}


@dataclass(frozen=True)
class Latents:
    """Scaled latents of one length with the text embeddings of their captions."""

    values: Tensor  # (N, 8, T, 16)
    captions: Tensor  # (N, 4, EMBEDDING): precise, partial, ambiguous, empty


def build_unet() -> UNet2DConditionModel:
    """AudioLDM's denoiser, narrow: conditioned by the text embedding as a class embedding."""
    channels = (32, 48, 64)
    return UNet2DConditionModel(
        sample_size=56,
        in_channels=8,
        out_channels=8,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=channels,
        attention_head_dim=4,
        norm_num_groups=8,
        class_embed_type="simple_projection",
        class_embeddings_concat=True,
        projection_class_embeddings_input_dim=EMBEDDING,
    )


def build_scheduler() -> DDIMScheduler:
    """AudioLDM's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def make_latents(folders: Folders, length: int, count: int) -> Latents:
    """Draw clips of one latent length and encode them."""
    folder = folders.out / "audioldm"
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    tokenizer = RobertaTokenizerFast.from_pretrained(folder / "tokenizer")
    encoder = ClapTextModelWithProjection.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    log_mel = LogMel()
    scenes = [plan_scene(SEED_BASE + 10_000 * length + i, length * LATENT_FRAME_S) for i in range(count)]
    values = []
    with torch.no_grad():
        for first in range(0, count, 16):
            mels = log_mel(torch.stack([scene_samples(scene) for scene in scenes[first : first + 16]]))
            with fast_precision():
                posterior = vae.encode(mels[:, None]).latent_dist
            values.append(posterior.sample().float() * vae.config.scaling_factor)
        captions = embed_captions(encoder, tokenizer, [(*scene_captions(scene), "") for scene in scenes])
    return Latents(torch.cat(values), captions)


def embed_captions(
    encoder: ClapTextModelWithProjection, tokenizer: PreTrainedTokenizerFast, captions: list[tuple[str, ...]]
) -> Tensor:
    """Text embeddings of a few captions per clip: (N, captions, EMBEDDING)."""
    distinct = sorted({text for texts in captions for text in texts})
    embedded = dict(zip(distinct, torch.cat([embed(encoder, tokenizer, [text]) for text in distinct])))
    return torch.stack([torch.stack([embedded[text] for text in texts]) for texts in captions])


def half_certain(captions: Tensor) -> Tensor:
    """Embeddings between the ambiguous and the precise caption of each clip (B, 4, E): (B, E).

    At share u of the way the precise caption is the clip's own with probability u, else any clip's: so an embedding
    half way to a kind means that kind half of the time. Prompt tuning walks along such ways.
    """
    share = torch.rand(len(captions), 1)
    others = captions[torch.randperm(len(captions)), 0]
    ends = torch.where(torch.rand(len(captions), 1) < share, captions[:, 0], others)
    return captions[:, 2].lerp(ends, share)


def draw_batch(latents: Latents, batch: int) -> tuple[Tensor, Tensor]:
    """Latents (B, 8, T, 16) and text embeddings (B, EMBEDDING) of random caption levels, some slightly noised."""
    rows = torch.randint(len(latents.values), (batch,))
    captions = latents.captions[rows]
    level = torch.bucketize(torch.rand(batch), torch.tensor(CAPTION_SHARES).cumsum(0))
    choices = torch.cat([captions, half_certain(captions)[:, None]], 1)  # (B, 5, E)
    text = choices[torch.arange(batch), level]
    noise = EMBEDDING_NOISE * torch.rand(batch, 1) * torch.randn_like(text) / EMBEDDING**0.5
    return latents.values[rows], nn.functional.normalize(text + noise * (level != EMPTY)[:, None], dim=-1)


def draw_times(count: int, early: float) -> Tensor:
    """Times 0 to 999 (count,), all alike at `early` 1, the noisy ones more often below it."""
    return torch.randint(1000, (count,)) if early == 1 else (1000 * torch.rand(count) ** early).long()


def run_phase(
    name: str,
    unet: UNet2DConditionModel,
    pools: dict[int, Latents],
    folders: Folders,
    *,
    steps: int,
    rate: float,
    seed: int,
    ema_decay: float = 0.998,
    early: float = 1.0,
) -> Card:
    """One run of the denoiser: predict the noise in noised latents of mixed lengths.

    `early` below 1 prefers the noisy times, where level and kind of a sound are decided.
    """
    scheduler = build_scheduler()
    lengths, shares = list(LENGTHS), torch.tensor(LENGTH_SHARES)
    optimiser = torch.optim.AdamW(trainable(unet), rate, betas=(0.9, 0.98), weight_decay=1e-4)

    def step_losses(_: int) -> dict[str, float]:
        length = lengths[int(torch.multinomial(shares, 1))]
        clean, text = draw_batch(pools[length], LENGTHS[length][1])
        noise, times = torch.randn_like(clean), draw_times(len(clean), early)
        with fast_precision():
            guess = unet(scheduler.add_noise(clean, noise, times), times, encoder_hidden_states=None, class_labels=text).sample
        loss = (guess.float() - noise).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trainable(unet), 1.0)
        optimiser.step()
        return {"noise": loss.item()}

    return Run(name, {"unet": unet}, [optimiser], steps, seed=seed, ema_decay=ema_decay).go(step_losses, folders)


def train_audio_unet(folders: Folders) -> Card:
    """Train and save the denoiser, its scheduler and the index of the folder."""
    torch.manual_seed(15)
    unet = build_unet()
    unet.set_attn_processor(AttnProcessor())  # for heads this narrow, faster than torch's fused attention
    pools = {length: make_latents(folders, length, count) for length, (count, _) in LENGTHS.items()}
    runs = [
        run_phase("audio_unet", unet, pools, folders, steps=STEPS, rate=1.5e-3, seed=15),
        run_phase("audio_unet_more", unet, pools, folders, steps=MORE_STEPS, rate=1e-3, seed=25),
        run_phase("audio_unet_again", unet, pools, folders, steps=MORE_STEPS, rate=1e-3, seed=45),
        run_phase("audio_unet_early", unet, pools, folders, steps=EARLY_STEPS, rate=1e-3, seed=35, ema_decay=0.99, early=0.45),
    ]
    card = Card("audio_unet", STEPS + 2 * MORE_STEPS + EARLY_STEPS, sum(run.seconds for run in runs), runs[-1].losses)
    folder = folders.out / "audioldm"
    unet.half().save_pretrained(folder / "unet")
    build_scheduler().save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX, indent=2) + "\n")
    model = load_audioldm(folder)
    for name, level in (("precise", 0), ("ambiguous", 2)):
        pairs = generated_kinds(model, level, 64)
        card.scores[f"{name}_right"] = sum(true == judged for true, judged in pairs) / len(pairs)
    return card
