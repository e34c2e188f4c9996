"""Judges of sound by signal processing: kind, event times, and the features both quality measures use."""

from dataclasses import dataclass
from functools import cache

import torch
import torchaudio
from torch import Tensor

from tests.pocket.world import plan_scene, scene_samples
from tests.pocket.world_kinds import KIND_NAMES, KINDS, kind_index

RATE_HZ = 16000
JUDGE_SEED = 5_000_000  # the training seeds from which the templates are fitted
CLIPS_PER_KIND = 40
BANDS = 20
FEATURES = BANDS + 8
FRAME_S = 0.010
ONSET_FRAME_S = 0.005


@cache
def _filters(bins: int, bands: int) -> Tensor:
    """Triangular mel filters: (bins, bands)."""
    return torchaudio.functional.melscale_fbanks(bins, 50.0, 8000.0, bands, RATE_HZ, norm=None, mel_scale="htk")


def band_power(samples: Tensor, window: int, hop: int, bands: int) -> Tensor:
    """Power in mel bands: (T, bands), frame i centred on sample i * hop."""
    spectrum = torch.stft(
        samples.float(),
        max(window, 512),
        hop,
        window,
        torch.hann_window(window),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum.abs().square().T / window  # (T, bins)
    return power @ _filters(power.shape[1], bands)


def _modulation(envelope: Tensor) -> Tensor:
    """Share of the envelope's movement at 3-8, 8-16 and 16-35 Hz: (3,)."""
    centred = envelope - envelope.mean()
    power = torch.fft.rfft(centred * torch.hann_window(len(centred))).abs().square()
    freq = torch.fft.rfftfreq(len(centred), FRAME_S)
    bands = [power[(freq >= low) & (freq < high)].sum() for low, high in ((3, 8), (8, 16), (16, 35))]
    return torch.stack(bands) / power[(freq >= 0.7) & (freq < 40)].sum().clamp_min(1e-9)


def _sweep(power: Tensor, loud: Tensor) -> Tensor:
    """How fast the centre of the spectrum moves within loud stretches, octaves per frame, energy weighted: (2,)."""
    position = torch.linspace(0, 1, power.shape[1])
    energy = power.sum(1)
    centre = (power * position).sum(1) / energy.clamp_min(1e-9)
    step = 5
    move = centre[step:] - centre[:-step]
    weight = (energy[step:] * energy[:-step]).sqrt() * (loud[step:] & loud[:-step])
    total = weight.sum().clamp_min(1e-9)
    rising = (weight * (move > 0.02)).sum() / total
    return torch.stack([(weight * move).sum() / total * 10, rising])


def sound_features(samples: Tensor) -> Tensor:
    """What the judges hear in 16 kHz samples (n,): (FEATURES,).

    The colour of the loud frames in BANDS bands, sparseness, sustain, sweep and modulation. Levels do not count.
    """
    power = band_power(samples, 1024, 160, 40)  # (T, 40)
    power = (power - power.quantile(0.1, 0)).clamp_min(0)
    energy = power.sum(1)
    peak = energy.quantile(0.98).clamp_min(1e-8)
    loud = energy > 0.02 * peak
    amplitude = power.clamp_min(0).sqrt()
    shape = (amplitude * loud[:, None]).sum(0)
    shape = shape / shape.sum().clamp_min(1e-9)
    colour = shape.view(BANDS, -1).sum(1).sqrt()
    relative = (energy / peak).clamp(0, 1)
    sustain = torch.stack([loud.float().mean(), relative.mean(), (relative > 0.3).float().mean()])
    return torch.cat([colour, sustain, _sweep(power, loud), _modulation(relative.sqrt())])


@dataclass(frozen=True)
class Templates:
    """Gaussian templates with one shared covariance."""

    means: Tensor  # (K, D)
    precision: Tensor  # (D, D)

    def scores(self, features: Tensor) -> Tensor:
        """Log-likelihood of each kind, up to a constant: (K,)."""
        distance = features[None] - self.means
        return -0.5 * ((distance @ self.precision) * distance).sum(1)


def fit_templates(features: Tensor, floor: float) -> Templates:
    """Templates of features (K, N, D); `floor` is a standard deviation added to every feature."""
    means = features.mean(1)
    residual = (features - means[:, None]).flatten(0, 1)
    covariance = residual.T @ residual / len(residual) + floor**2 * torch.eye(residual.shape[1])
    return Templates(means, torch.linalg.inv(covariance))


@cache
def sound_templates() -> Templates:
    """Templates of the kinds' sounds, fitted once from training seeds of 2 s clips."""
    features = [
        torch.stack(
            [sound_features(scene_samples(plan_scene(JUDGE_SEED + 1000 * k + i, 2.0, name))) for i in range(CLIPS_PER_KIND)]
        )
        for k, name in enumerate(KIND_NAMES)
    ]
    return fit_templates(torch.stack(features), floor=0.05)


def judge_sound_kind(samples: Tensor) -> tuple[str, Tensor]:
    """The kind that 16 kHz samples (n,) sound like, and the score of each kind in KIND_NAMES order (K,)."""
    with torch.no_grad():
        scores = sound_templates().scores(sound_features(samples.detach().cpu()))
    return KIND_NAMES[int(scores.argmax())], scores


def _onset_strength(samples: Tensor, memory_s: float) -> Tensor:
    """How far each 5 ms frame rises above all of the last `memory_s`, summed over bands, in 0..1: (T,)."""
    amplitude = band_power(samples, 320, 80, 24).sqrt()  # (T, 24)
    memory = max(int(memory_s / ONSET_FRAME_S), 1)
    padded = torch.cat([amplitude.new_zeros(memory + 2, amplitude.shape[1]), amplitude])
    before = padded.unfold(0, memory, 1)[: len(amplitude)].amax(-1)  # ends three frames ago
    rise = (amplitude - before).clamp_min(0).sum(1)
    return rise / amplitude.sum(1).max().clamp_min(1e-6)


def _run_starts(samples: Tensor) -> list[float]:
    """Times at which a sound sets in after a pause, a tremolo's dips filled in."""
    level = band_power(samples, 320, 80, 24).sqrt().sum(1)
    hold = int(0.2 / ONSET_FRAME_S)
    held = torch.cat([level.new_zeros(hold - 1), level]).unfold(0, hold, 1).amax(-1)
    on = held > 0.25 * level.quantile(0.95).clamp_min(1e-6)
    first = on & ~torch.cat([on.new_zeros(1), on[:-1]])
    return [i * ONSET_FRAME_S for i in first.nonzero().flatten().tolist()]


def sound_event_times(samples: Tensor, kind: str | None = None) -> list[float]:
    """The times in seconds at which a sound (n,) strikes or starts to run. `kind` is judged unless given."""
    samples = samples.detach().cpu()
    name = kind or judge_sound_kind(samples)[0]
    if KINDS[kind_index(name)].continuous:
        return _run_starts(samples)
    strength = _onset_strength(samples, 0.08)
    threshold = max(0.3 * strength.max().item(), 0.02)
    times: list[float] = []
    for time_s in ((strength > threshold).nonzero().flatten() * ONSET_FRAME_S).tolist():
        if not times or time_s - times[-1] >= 0.2:
            times.append(time_s)
    return times
