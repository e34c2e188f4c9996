"""Judge scores of the trained pocket audio models: reconstructions and unguided generation."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import SpeechT5HifiGan

from seeing_core.generators.audioldm import AudioLDM
from seeing_core.guidance.loop import sample
from seeing_core.guidance.losses import WeightedLoss
from seeing_core.guidance.settings import UNGUIDED
from tests.pocket.judge_scores import event_match
from tests.pocket.judges import judge_sound_kind, sound_event_times
from tests.pocket.training.mel import LogMel
from tests.pocket.world import TEST_SEEDS, plan_scene, scene_captions, scene_samples


def load_sound_decoder(folder: Path) -> tuple[AutoencoderKL, SpeechT5HifiGan]:
    """The autoencoder and vocoder of a folder."""
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    return vae, SpeechT5HifiGan.from_pretrained(folder / "vocoder", dtype=torch.float32).eval()


@torch.no_grad()
def rebuild_samples(samples: Tensor, vae: AutoencoderKL | None, vocoder: SpeechT5HifiGan) -> Tensor:
    """Samples (B, n) through mel, autoencoder (unless None) and vocoder: (B, n), n a multiple of 640."""
    mels = LogMel()(samples)
    if vae is not None:
        mels = vae.decode(vae.encode(mels[:, None]).latent_dist.mean).sample[:, 0]
    return vocoder(mels)


def generate_sounds(
    model: AudioLDM, captions: list[str], duration_s: float, *, first_seed: int, steps: int = 30, guidance: float = 2.5
) -> Tensor:
    """Sounds from captions alone, a seed each: (B, n)."""
    generator = model.conditioned(captions, duration_s=duration_s, guidance_scale=guidance)
    seeds = range(first_seed, first_seed + len(captions))
    [z] = sample([generator], WeightedLoss({}, [[]]), UNGUIDED, seeds=seeds, steps=steps)
    return generator.decode_all(z)[:, 0]


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
    model: AudioLDM, level: int, count: int, *, first_seed: int = TEST_SEEDS, batch: int = 16
) -> list[tuple[str, str]]:
    """(true kind, judged kind) of sounds generated from captions of fresh clips; level 0 is precise, 2 ambiguous."""
    pairs: list[tuple[str, str]] = []
    for first in range(0, count, batch):
        scenes = [plan_scene(first_seed + i) for i in range(first, min(first + batch, count))]
        captions = [scene_captions(scene)[level] for scene in scenes]
        waveforms = generate_sounds(model, captions, 2.0, first_seed=first_seed + first)
        pairs += [(scene.kind, judge_sound_kind(sound)[0]) for scene, sound in zip(scenes, waveforms)]
    return pairs
