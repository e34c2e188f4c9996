"""Judge scores of the trained pocket audio models: reconstructions and unguided generation."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import (
    AutoTokenizer,
    ClapTextModelWithProjection,
    PreTrainedTokenizerBase,
    SpeechT5HifiGan,
)

from tests.pocket.judge_scores import event_match
from tests.pocket.judges import judge_sound_kind, sound_event_times
from tests.pocket.training.clap import embed
from tests.pocket.training.mel import HOP, LogMel
from tests.pocket.world import TEST_SEEDS, plan_scene, scene_captions, scene_samples

LATENT_HOP = 4 * HOP


@dataclass(frozen=True)
class AudioModels:
    """The parts of a pocket AudioLDM folder, in float32."""

    vae: AutoencoderKL
    vocoder: SpeechT5HifiGan
    tokenizer: PreTrainedTokenizerBase
    text_encoder: ClapTextModelWithProjection
    unet: UNet2DConditionModel
    scheduler: DDIMScheduler


def load_sound_decoder(folder: Path) -> tuple[AutoencoderKL, SpeechT5HifiGan]:
    """The autoencoder and vocoder of a folder."""
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    return vae, SpeechT5HifiGan.from_pretrained(folder / "vocoder", dtype=torch.float32).eval()


def load_audio_models(folder: Path) -> AudioModels:
    """Every part of a folder, by the ordinary loaders."""
    vae, vocoder = load_sound_decoder(folder)
    return AudioModels(
        vae,
        vocoder,
        AutoTokenizer.from_pretrained(folder / "tokenizer"),
        ClapTextModelWithProjection.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval(),
        UNet2DConditionModel.from_pretrained(folder / "unet").eval(),
        DDIMScheduler.from_pretrained(folder / "scheduler"),
    )


@torch.no_grad()
def rebuild_samples(samples: Tensor, vae: AutoencoderKL | None, vocoder: SpeechT5HifiGan) -> Tensor:
    """Samples (B, n) through mel, autoencoder (unless None) and vocoder: (B, n), n a multiple of 640."""
    mels = LogMel()(samples)
    if vae is not None:
        mels = vae.decode(vae.encode(mels[:, None]).latent_dist.mean).sample[:, 0]
    return vocoder(mels)


@torch.no_grad()
def generate_sounds(
    models: AudioModels, captions: list[str], duration_s: float, *, seed: int, steps: int = 30, guidance: float = 2.5
) -> Tensor:
    """Unguided AudioLDM sampling (DDIM, classifier-free guidance, empty negative prompt): (B, n)."""
    length = 8 * math.ceil(duration_s * 16000 / LATENT_HOP / 8 - 1e-6)
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(len(captions), 8, length, 16, generator=generator)
    text = torch.cat(
        [
            embed(models.text_encoder, models.tokenizer, [""] * len(captions)),
            embed(models.text_encoder, models.tokenizer, captions),
        ]
    )
    models.scheduler.set_timesteps(steps)
    for step in models.scheduler.timesteps:
        empty, full = models.unet(
            torch.cat([latent, latent]), step, encoder_hidden_states=None, class_labels=text
        ).sample.chunk(2)
        latent = models.scheduler.step(empty + guidance * (full - empty), step, latent).prev_sample
    mels = models.vae.decode(latent / models.vae.config.scaling_factor).sample[:, 0]
    return models.vocoder(mels)[:, : round(duration_s * 16000)]


def rebuilt_scores(vae: AutoencoderKL | None, vocoder: SpeechT5HifiGan, count: int) -> dict[str, float]:
    """Share of fresh test clips whose kind survives, and the F1 of their event times (100 ms)."""
    right, events = 0, 0.0
    for i in range(count):
        scene = plan_scene(TEST_SEEDS + i)
        made = rebuild_samples(scene_samples(scene)[None], vae, vocoder)[0]
        right += judge_sound_kind(made)[0] == scene.kind
        events += event_match(sound_event_times(made, scene.kind), scene.starts_s)
    return {"kind_right": right / count, "event_f1": round(events / count, 4)}


def generated_kinds(
    models: AudioModels, level: int, count: int, *, first_seed: int = TEST_SEEDS, batch: int = 16
) -> list[tuple[str, str]]:
    """(true kind, judged kind) of sounds generated from captions of fresh clips; level 0 is precise, 2 ambiguous."""
    pairs: list[tuple[str, str]] = []
    for first in range(0, count, batch):
        scenes = [plan_scene(first_seed + i) for i in range(first, min(first + batch, count))]
        captions = [scene_captions(scene)[level] for scene in scenes]
        waveforms = generate_sounds(models, captions, 2.0, seed=first_seed + first)
        pairs += [(scene.kind, judge_sound_kind(sound)[0]) for scene, sound in zip(scenes, waveforms)]
    return pairs
