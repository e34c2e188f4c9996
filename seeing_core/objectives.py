"""What predicted x0s are judged by: embed what they decode to, compare with the targets or with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .aligner import Evaluation
from .losses import Target, distance, target_terms
from .views import View

Term = tuple[str, float, Tensor]


@dataclass(frozen=True)
class FitTargets:
    """One model's output against fixed targets (V2A, I2A: eq. 14; A2V: eq. 15).

    targets: for each group of clips of the view, its targets. The loss is the mean over the groups.
    """

    view: View
    targets: Sequence[Sequence[Target]]

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        leaves = _leaves(x0s)
        with torch.enable_grad():
            means, preview = self.view(leaves[0])
            groups = [target_terms(mean, own) for mean, own in zip(means, self.targets, strict=True)]
            return _evaluation(leaves, groups, (preview,))


@dataclass(frozen=True)
class FitEachOther:
    """Sound and picture made together (eq. 16): F(e_v, e_p) + F(e_v, e_a) + F(e_a, e_p).

    weights: of the three terms, named "vision-text", "vision-audio", "audio-text". x0s: the picture's, the sound's.
    extra: further fixed targets for the sound and for the picture.
    """

    picture: View
    sound: View
    prompt: Tensor
    weights: dict[str, float]
    extra: Sequence[Target] = ()

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        leaves = _leaves(x0s)
        with torch.enable_grad():
            seen, frames = self.picture(leaves[0])
            heard, samples = self.sound(leaves[1])
            groups = [self._terms(v, a) for v, a in zip(seen, heard, strict=True)]
            return _evaluation(leaves, groups, (frames, samples))

    def _terms(self, vision: Tensor, audio: Tensor) -> list[Term]:
        pairs = {
            "vision-text": distance(vision, self.prompt), "vision-audio": distance(vision, audio),
            "audio-text": distance(audio, self.prompt),
        }
        triangle = [(name, self.weights[name], value) for name, value in pairs.items() if self.weights[name]]
        return triangle + target_terms(vision, self.extra) + target_terms(audio, self.extra)


def _leaves(x0s: Sequence[Tensor]) -> list[Tensor]:
    return [x0.detach().requires_grad_() for x0 in x0s]


def _evaluation(leaves: Sequence[Tensor], groups: Sequence[Sequence[Term]], previews: tuple[Tensor, ...]) -> Evaluation:
    """The mean loss of the groups and its gradients. Terms of one name in several groups are averaged."""
    loss = torch.stack([sum(weight * value for _, weight, value in group) for group in groups]).mean(0)  # (B,)
    # Samples of a batch do not see each other, so the gradient of the sum is each one's own.
    gradients = torch.autograd.grad(loss.sum(), leaves, materialize_grads=True)
    named: dict[str, list[Tensor]] = {}
    for name, _, value in (term for group in groups for term in group):
        named.setdefault(name, []).append(value.detach())
    terms = {name: torch.stack(values).mean(0) for name, values in named.items()}
    return Evaluation(loss.detach(), gradients, terms, previews)
