"""What predicted x0s are judged by: embed what they decode to, compare with the targets or with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .loop import Evaluation, Objective
from .old_losses import Target, clip_terms, distance, target_terms
from .clips import ClipDraw, View

Term = tuple[str, float, Tensor]


@dataclass(frozen=True)
class FitTargets:
    """One model's output against fixed targets (V2A, I2A: eq. 14; A2V: eq. 15).

    targets: for each group of clips of the view, its targets. The loss is the mean over the groups.  draw: which clips of a
    group are looked at.  clip_weight: of each clip against its own part of the target, beside the mean.
    """

    view: View
    targets: Sequence[Sequence[Target]]
    draw: ClipDraw = field(default_factory=ClipDraw)
    clip_weight: float = 0.0

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        def judge(leaves: Sequence[Tensor], group: int) -> tuple[list[Term], tuple[Tensor, ...]]:
            chosen, targets = self.draw(self.view.sizes[group]), self.targets[group]
            clips, preview = self.view.embed(leaves[0], group, chosen)  # (B, S, D)
            return target_terms(clips.mean(1), targets) + clip_terms(clips, chosen, targets, self.clip_weight), (preview,)

        return _evaluation(x0s, len(self.view.sizes), judge)


@dataclass(frozen=True)
class FitEachOther:
    """Sound and picture made together (eq. 16): F(e_v, e_p) + F(e_v, e_a) + F(e_a, e_p).

    weights: of the three terms, named "vision-text", "vision-audio", "audio-text". x0s: the picture's, the sound's.
    extra: further fixed targets for the sound and for the picture.  draw: which clips of a group are looked at.  clip_weight: of
    picture against sound clip by clip, beside the mean.
    """

    picture: View
    sound: View
    prompt: Tensor
    weights: dict[str, float]
    extra: Sequence[Target] = ()
    draw: ClipDraw = field(default_factory=ClipDraw)
    clip_weight: float = 0.0

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        def judge(leaves: Sequence[Tensor], group: int) -> tuple[list[Term], tuple[Tensor, ...]]:
            clips = self.draw(self.picture.sizes[group])
            seen, frames = self.picture.embed(leaves[0], group, clips)
            heard, samples = self.sound.embed(leaves[1], group, clips)
            terms = self._terms(seen.mean(1), heard.mean(1))
            if self.clip_weight:
                weight = self.clip_weight * self.weights["vision-audio"]
                terms.append(("vision-audio by clip", weight, distance(seen, heard).mean(-1)))
            return terms, (frames, samples)

        return _evaluation(x0s, len(self.picture.sizes), judge)

    def _terms(self, vision: Tensor, audio: Tensor) -> list[Term]:
        pairs = {
            "vision-text": distance(vision, self.prompt), "vision-audio": distance(vision, audio),
            "audio-text": distance(audio, self.prompt),
        }
        triangle = [(name, self.weights[name], value) for name, value in pairs.items() if self.weights[name]]
        return triangle + target_terms(vision, self.extra) + target_terms(audio, self.extra)


class Nothing:
    """What asks for nothing: for the terms that stand beside it."""

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        return Evaluation(x0s[0].new_zeros(len(x0s[0])), tuple(torch.zeros_like(x0) for x0 in x0s), {}, ())


@dataclass(frozen=True)
class Also:
    """An objective and one more term beside it, which leaves the prompts alone: a prompt says what, not when.

    term: what the objective takes -> (B,), differentiable.  tuned: whether prompts are tuned, and need gradients of their own.
    """

    objective: Objective
    name: str
    term: Callable[[Sequence[Tensor]], Tensor]
    weight: float
    tuned: bool

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        seen = self.objective(x0s)
        leaves = [x0.detach().requires_grad_() for x0 in x0s]
        with torch.enable_grad():
            value = self.term(leaves)  # (B,)
            own = torch.autograd.grad(value.sum(), leaves, materialize_grads=True)
        gradients = tuple(fit + self.weight * more for fit, more in zip(seen.gradients, own, strict=True))
        return Evaluation(seen.loss + self.weight * value.detach(), gradients, seen.terms | {self.name: value.detach()},
                          seen.previews, seen.gradients if self.tuned else None)


@dataclass(frozen=True)
class Decoded:
    """An objective on what the x0s decode to, not on themselves: decoded once for all of its parts, with one backward pass.

    decoders: of each x0, differentiable. Of something long they keep no activations, but make them again for the backward
    pass; the objective goes back to what is decoded first, so that memory stays that of a piece.
    """

    decoders: Sequence[Callable[[Tensor], Tensor]]
    objective: Objective

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        leaves = [x0.detach().requires_grad_() for x0 in x0s]
        with torch.enable_grad():
            decoded = [decode(leaf) for decode, leaf in zip(self.decoders, leaves, strict=True)]
        seen = self.objective([one.detach() for one in decoded])
        of_prompts = seen.prompt_gradients and torch.autograd.grad(decoded, leaves, seen.prompt_gradients, retain_graph=True)
        return replace(seen, gradients=torch.autograd.grad(decoded, leaves, seen.gradients), prompt_gradients=of_prompts)


Judge = Callable[[Sequence[Tensor], int], tuple[list[Term], tuple[Tensor, ...]]]
"""x0s and the number of a group of clips -> the terms of its loss, and what was decoded for it."""


def _evaluation(x0s: Sequence[Tensor], groups: int, judge: Judge) -> Evaluation:
    """The mean loss of the groups and its gradients. Terms of one name in several groups are averaged.

    Each group has its backward pass before the next is decoded: nothing is kept, nothing is computed twice.
    """
    leaves = [x0.detach().requires_grad_() for x0 in x0s]
    losses: list[Tensor] = []
    named: dict[str, list[Tensor]] = {}
    total: Sequence[Tensor] = [torch.zeros_like(x0) for x0 in x0s]
    for group in range(groups):
        with torch.enable_grad():
            terms, decoded = judge(leaves, group)
            loss = sum(weight * value for _, weight, value in terms) / groups  # (B,)
            # Samples of a batch do not see each other, so the gradient of the sum is each one's own.
            gradients = torch.autograd.grad(loss.sum(), leaves, materialize_grads=True)
        total = [so_far + own for so_far, own in zip(total, gradients, strict=True)]
        losses.append(loss.detach())
        for name, _, value in terms:
            named.setdefault(name, []).append(value.detach())
        previews = decoded if group == 0 else previews
    means = {name: torch.stack(values).mean(0) for name, values in named.items()}
    return Evaluation(torch.stack(losses).sum(0), tuple(total), means, previews)
