"""What a latent is judged by: decode it as the binder will see or hear it, embed, compare with the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .aligner import Evaluation
from .audio.audioldm import AudioTask
from .binders import Binder, Span
from .losses import Target, target_loss


@dataclass(frozen=True)
class SoundWindow:
    """One window of the sound to judge: latent frames [start, stop), its length in samples, its clips, its targets."""

    start: int
    stop: int
    length: int
    spans: Sequence[Span]
    targets: Sequence[Target]


@dataclass(frozen=True)
class SoundObjective:
    """The `Objective` of a task that makes sound: the mean of its windows' losses (eq. 14)."""

    task: AudioTask
    binder: Binder
    windows: Sequence[SoundWindow]

    def __call__(self, x0: Tensor) -> Evaluation:
        """x0 (B, C, L, F) -> losses (B,) and their gradient. One window at a time: memory does not grow with length."""
        gradient = torch.zeros_like(x0)
        losses, terms, heard = [], [], []
        for window in self.windows:
            with torch.enable_grad():
                piece = x0[:, :, window.start : window.stop].detach().requires_grad_()
                samples = self.task.model.decode(piece)[:, : window.length]
                embedding = self.binder.embed_sound(samples, window.spans).mean(1)  # (B, D)
                loss, parts = target_loss(embedding, window.targets)
                # Samples of a batch do not see each other, so the sum's gradient is each one's own.
                (own,) = torch.autograd.grad(loss.sum() / len(self.windows), piece)
            gradient[:, :, window.start : window.stop] += own
            losses.append(loss.detach())
            terms.append({name: value.detach() for name, value in parts.items()})
            heard.append(samples.detach())
        means = {name: torch.stack([part[name] for part in terms]).mean(0) for name in terms[0]}
        return Evaluation(torch.stack(losses).mean(0), gradient, means, heard[0])
