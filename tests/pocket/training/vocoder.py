"""Trains AudioLDM's vocoder (a HiFi-GAN generator) on the sounds of the pocket world."""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from tests.pocket.training.common import Card, Folders, Run, fast_precision, trainable
from tests.pocket.training.mel import HOP, LogMel
from tests.pocket.training.mel_vae import random_crops, sound_pool
from tests.pocket.training.scoring import rebuilt_scores

SEED_BASE = 1_100_000
STEPS = 900
LEVEL_STEPS = 250
BATCH = 12
CROP_FRAMES = 64
FFT_SIZES = (128, 256, 512, 1024, 2048)
MAGNITUDE_FLOOR = 1e-2


def build_vocoder() -> SpeechT5HifiGan:
    """AudioLDM's vocoder, narrow: log-mel (B, T, 64) to samples (B, 160 T)."""
    config = SpeechT5HifiGanConfig(
        model_in_dim=64,
        sampling_rate=16000,
        upsample_initial_channel=192,
        upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[9, 8, 8, 4, 4],
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1], [1]],
        leaky_relu_slope=0.1,
        normalize_before=True,
    )
    vocoder = SpeechT5HifiGan(config)
    for name, module in vocoder.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            nn.init.kaiming_normal_(module.weight, a=0.1)
            if isinstance(module, nn.ConvTranspose1d):  # each output sample sees kernel / stride taps only
                fan = module.in_channels * module.kernel_size[0] / module.stride[0]
                module.weight.data.normal_(0, (2 / fan) ** 0.5)
            if "convs2" in name:
                module.weight.data.mul_(0.3)
            nn.init.zeros_(module.bias)
    vocoder.conv_post.weight.data.mul_(0.1)
    return vocoder


def magnitudes(samples: Tensor, size: int) -> Tensor:
    """Magnitudes of a spectrum of samples (B, n) with windows of `size`, scaled so that a full tone is about 1."""
    window = torch.hann_window(size)
    spectrum = torch.stft(samples, size, size // 4, size, window, return_complex=True)
    return torch.view_as_real(spectrum).square().sum(-1).add(1e-9).sqrt() * (2 / window.sum())


def spectral_losses(made: Tensor, real: Tensor) -> dict[str, Tensor]:
    """Linear and floored-log distances of magnitudes at several resolutions, samples (B, n)."""
    linear, log = made.new_zeros(()), made.new_zeros(())
    for size in FFT_SIZES:
        a, b = magnitudes(made, size), magnitudes(real, size)
        linear = linear + (a - b).norm() / b.norm()
        floor = MAGNITUDE_FLOOR * (32 / size) ** 0.5  # noise spreads over more bins in longer windows
        log = log + ((a + floor).log() - (b + floor).log()).abs().mean()
    return {"linear": linear / len(FFT_SIZES), "log": log / len(FFT_SIZES)}


def rebuild_mels(vae: AutoencoderKL, mels: Tensor) -> Tensor:
    """Log-mels (N, T, 64) as the autoencoder gives them back."""
    with torch.no_grad(), fast_precision():
        return torch.cat([vae(chunk[:, None], sample_posterior=True).sample[:, 0].float() for chunk in mels.split(16)])


@dataclass(frozen=True)
class Sounds:
    """What the vocoder learns from: sounds (N, n), their log-mels (N, T, 64), plain and through the autoencoder."""

    samples: Tensor
    mels: Tensor
    rebuilt: Tensor


def draw_pairs(waveforms: Sounds, *, with_rebuilt: bool) -> tuple[Tensor, Tensor]:
    """Log-mels (BATCH, CROP_FRAMES, 64), every other one rebuilt if asked, and their sounds (BATCH, n)."""
    crops, rows, starts = random_crops(waveforms.mels, CROP_FRAMES, BATCH)
    pairs = list(zip(rows.tolist(), starts.tolist()))
    real = torch.stack([waveforms.samples[row, HOP * start : HOP * (start + CROP_FRAMES)] for row, start in pairs])
    if with_rebuilt:
        crops = torch.stack(
            [
                (waveforms.rebuilt if i % 2 else waveforms.mels)[row, start : start + CROP_FRAMES]
                for i, (row, start) in enumerate(pairs)
            ]
        )
    return crops, real


def run_phase(
    name: str,
    vocoder: SpeechT5HifiGan,
    waveforms: Sounds,
    folders: Folders,
    *,
    steps: int,
    rate: float,
    wave_weight: float,
    rebuilt_from: float,
) -> Card:
    """One run of the vocoder.

    The waveform term finds pitch and phase (the world's partials keep in step with the mel frames), but makes noise
    too quiet, because the likeliest sample of noise is zero. Hence a first phase with it and a second one without.
    """
    optimiser = torch.optim.AdamW(trainable(vocoder), rate, betas=(0.8, 0.98), weight_decay=1e-5)
    log_mel = LogMel()

    def step_losses(step: int) -> dict[str, float]:
        crops, real = draw_pairs(waveforms, with_rebuilt=step >= rebuilt_from * steps)
        with fast_precision():
            made = vocoder(crops)
        made = made.float()
        losses = spectral_losses(made, real)
        losses["mel"] = (log_mel(made).clamp_min(-6) - log_mel(real).clamp_min(-6)).abs().mean()
        losses["wave"] = (made - real).abs().mean() / real.abs().mean()
        optimiser.zero_grad()
        (losses["linear"] + losses["log"] + 0.3 * losses["mel"] + wave_weight * losses["wave"]).backward()
        nn.utils.clip_grad_norm_(trainable(vocoder), 5.0)
        optimiser.step()
        return {key: value.item() for key, value in losses.items()}

    return Run(name, {"vocoder": vocoder}, [optimiser], steps, seed=12, ema_decay=0.995).go(step_losses, folders)


def train_vocoder(folders: Folders) -> Card:
    """Train and save the vocoder."""
    torch.manual_seed(12)
    vocoder = build_vocoder()
    samples, mels = sound_pool(SEED_BASE, 1000, 4.0)
    vae = AutoencoderKL.from_pretrained(folders.out / "audioldm" / "vae").eval()
    waveforms = Sounds(samples, mels, rebuild_mels(vae, mels))
    vocoder.mean.copy_(mels.mean((0, 1)))
    vocoder.scale.copy_(mels.std((0, 1)))
    first = run_phase("vocoder", vocoder, waveforms, folders, steps=STEPS, rate=2e-3, wave_weight=0.5, rebuilt_from=0.4)
    second = run_phase(
        "vocoder_levels", vocoder, waveforms, folders, steps=LEVEL_STEPS, rate=6e-4, wave_weight=0.02, rebuilt_from=0.0
    )
    card = Card("vocoder", STEPS + LEVEL_STEPS, first.seconds + second.seconds, second.losses)
    card.scores = {
        f"{name}_{key}": value
        for name, model in (("real", None), ("rebuilt", vae))
        for key, value in rebuilt_scores(model, vocoder.eval(), 64).items()
    }
    vocoder.half().save_pretrained(folders.out / "audioldm" / "vocoder")
    return card
