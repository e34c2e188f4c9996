"""When a sound in the making sounds, against when it should: the event term, which ImageBind's mean over clips cannot give.

Onset strength is the spectral flux of the log-mel (Bello et al., IEEE TSAP 2005); the log-mel is what AudioLDM's VAE decodes,
so neither the vocoder nor the binder takes part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from .aligner import Evaluation, Objective
from .audio.audioldm import AudioTask
from .errors import InputError
from .metrics.motion import Motion
from .windows import sparing

SPREADS_S = (0.03, 0.1)  # exact, and tolerant of a lag: the wide one pulls an onset that is still far away
FLOW_FLOOR = 0.1  # pixels: what AV-Align takes for a movement


def parse_times(words: str, duration_s: float) -> tuple[float, ...]:
    """Seconds, rising, from "0.5, 1.2". Raises InputError for anything else and for times outside 0 .. duration_s."""
    parts = [part for part in words.replace(";", ",").replace("\n", ",").split(",") if part.strip()]
    try:
        times = sorted({float(part) for part in parts})
    except ValueError:
        raise InputError("event times", f"'{words.strip()}'", "seconds, separated by commas",
                         "For example: 0.5, 1.2") from None
    wrong = [time for time in times if not 0 <= time < duration_s]  # NaN too
    if wrong:
        raise InputError("event times", f"{wrong[0]:g} s", f"times from 0 to the end of the sound at {duration_s:.2f} s")
    return tuple(times)


def onset_strength(log_mel: Tensor) -> Tensor:
    """log-mel (B, T, M) -> spectral flux (B, T - 1): how much louder the bands get, summed; frame i is the rise to i + 1."""
    return log_mel.diff(dim=1).relu().mean(-1)


def blurred(curve: Tensor, spread: float) -> Tensor:
    """(B, T) smoothed by a Gaussian of standard deviation `spread`, in steps of T. Differentiable."""
    reach = math.ceil(3 * spread)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=curve.device) / spread) ** 2).to(curve)
    return conv1d(pad(curve[:, None], (reach, reach)), (weights / weights.sum())[None, None])[:, 0]


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of (B, T) and (B, T) over the last axis, (B,); 0 where either is constant."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-8)


def motion_peaks(motion: Motion) -> tuple[float, ...]:
    """Seconds at which a film moves most: where things can be expected to sound."""
    return tuple(motion.peaks_s(FLOW_FLOOR).tolist())


@dataclass(frozen=True)
class InTime:
    """An objective and the event term beside it: 1 - the mean correlation of onset strength and wanted events.

    times_s: for each sample of the batch, or one for all, when it should sound, in seconds; without any the term is left out
    for that sample. weight: of the term.
    """

    objective: Objective
    task: AudioTask
    times_s: Sequence[Sequence[float]]
    weight: float = 1.0

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        seen = self.objective(x0s)
        leaf = x0s[-1].detach().requires_grad_()  # the sound's is the last
        with torch.enable_grad():
            loss = self._loss(leaf)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        *others, own = seen.gradients
        return Evaluation(seen.loss + self.weight * loss.detach(), (*others, own + self.weight * gradient),
                          seen.terms | {"events": loss.detach()}, seen.previews, seen.prompt_gradients or seen.gradients)

    def _loss(self, x0: Tensor) -> Tensor:
        """(B,): of a long sound the mean over its windows that have events."""
        model = self.task.model
        per_frame = model.hop / model.rate_hz
        losses, counted = [], []
        for window in self.task.windows:
            mel_frames = window.scaled(model.mel_per_latent)
            stop = min(mel_frames.stop, math.ceil(self.task.length / model.hop))
            several = len(self.task.windows) > 1
            log_mel = sparing(model.decode_mel, x0[:, :, window.start : window.stop], several=several)
            strength = onset_strength(log_mel[:, : stop - mel_frames.start])
            wanted = self._wanted(strength, mel_frames.start * per_frame, per_frame)
            fits = [correlation(blurred(strength, spread / per_frame), blurred(wanted, spread / per_frame))
                    for spread in SPREADS_S]
            counted.append((wanted.amax(-1) > 0).to(strength))
            losses.append((1 - torch.stack(fits).mean(0)) * counted[-1])
        return torch.stack(losses).sum(0) / torch.stack(counted).sum(0).clamp_min(1)

    def _wanted(self, strength: Tensor, start_s: float, per_frame: float) -> Tensor:
        """(B, T) of a window that starts at start_s: 1 in the frame whose rise is an event."""
        rows = list(self.times_s) * (len(strength) if len(self.times_s) == 1 else 1)
        wanted = torch.zeros_like(strength)
        for row, times in zip(wanted, rows, strict=True):
            frames = [round((time - start_s) / per_frame) - 1 for time in times]
            row[[max(frame, 0) for frame in frames if -1 <= frame < len(row)]] = 1.0
        return wanted
