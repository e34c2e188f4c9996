"""When things sound: onset strength and onset times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..media.resample import mono
from ..media.types import Waveform

RATE_HZ = 22050  # librosa's default, at which AV-Align was released
SHORTEST = 2048  # samples in librosa's analysis window


@dataclass(frozen=True)
class Onsets:
    """strength: (F,) onset strength (spectral flux, no unit).  times_s: (F,) its times.  peaks_s: (A,) the onsets.

    Times are seconds from the start, on a grid of 512 / 22050 s = 23 ms.
    """

    strength: Tensor
    times_s: Tensor
    peaks_s: Tensor


def find_onsets(sound: Waveform) -> Onsets:
    """The onsets of a sound by librosa's defaults at 22.05 kHz, as AV-Align uses them (Yariv et al., AAAI 2024).

    Channels are averaged and resampled by librosa too, as its loader does: onsets depend on it. A silent sound has
    none. A click is reported where its flux is largest, 0 to 1 grid steps after it.
    """
    import librosa

    samples = librosa.resample(mono(sound, sound.rate_hz).float().cpu().numpy(), orig_sr=sound.rate_hz, target_sr=RATE_HZ)
    samples = librosa.util.fix_length(samples, size=max(len(samples), SHORTEST))
    strength = librosa.onset.onset_strength(y=samples, sr=RATE_HZ)
    peaks = librosa.onset.onset_detect(onset_envelope=strength, sr=RATE_HZ, units="time")
    times = librosa.times_like(strength, sr=RATE_HZ)
    return Onsets(torch.from_numpy(strength).float(), torch.from_numpy(times), torch.as_tensor(peaks).double())
