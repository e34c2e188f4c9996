"""The loss: a sum of weighted terms (eqs. 14-16 and the sync terms) on what the predicted x0s decode to.

A new term is one class here and one line in `tasks.py`, where the terms of a task are put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..binders.base import Embedded
from .clips import AudioView, View
from .loop import Evaluation, Preview
from .sync import Curve, EventTarget, curves_correlation, moments_distance
from .texture import Texture, silence, texture

SYNC, TEXTURE = "sync", "texture"  # the names of the terms that no binder has a part in
KEEP = 2.0  # the weight with which a sound keeps its texture while a sync term of weight 1 moves it


class Seen(Protocol):
    """What the terms look at."""

    def embedding(self, medium: str) -> Tensor:
        """(B, D), of one window."""

    def moments(self, medium: str) -> Tensor:
        """(B, S, T, D), of one window's segments, moment by moment."""

    def curve(self, medium: str) -> Curve:
        """When things start in the whole of the medium."""

    def bands(self, medium: str) -> Tensor:
        """(B, T, M) log energies, of the whole of a sound."""


class SeenDecoded:
    """The decoded media, embedded or made into curves when first asked for.

    decoded, parts: of each medium, "vision" or "audio".  window: whose embeddings are meant.
    """

    def __init__(
        self, views: Mapping[str, View], decoded: Mapping[str, Tensor], parts: Mapping[str, Sequence[int]], window: int
    ) -> None:
        self.views, self.decoded, self.parts, self.window = views, decoded, parts, window
        self.previews: dict[str, Preview] = {}
        self._embedded: dict[str, Embedded] = {}

    def embedding(self, medium: str) -> Tensor:
        """(B, D): the mean embedding of the window's segments."""
        return self._embed(medium).clips.mean(1)

    def moments(self, medium: str) -> Tensor:
        """(B, S, T, D): the window's segments, moment by moment. Only of a binder that tells when."""
        over_time = self._embed(medium).over_time
        assert over_time is not None, "terms on moments are only made for a binder that tells when"
        return over_time

    def _embed(self, medium: str) -> Embedded:
        if medium not in self._embedded:
            self._embedded[medium], self.previews[medium] = self.views[medium].embed(
                self.decoded[medium], self.parts[medium], self.window
            )
        return self._embedded[medium]

    def curve(self, medium: str) -> Curve:
        """When things start in the whole of the medium."""
        return self.views[medium].curve(self.decoded[medium])

    def bands(self, medium: str) -> Tensor:
        """(B, T, M) log energies, of the whole of a sound."""
        view = self.views[medium]
        assert isinstance(view, AudioView), "only a sound has bands"
        return view.bands(self.decoded[medium])


class Term(Protocol):
    """A part of a loss.  weight: one for all, or (B,)."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float | Tensor: ...

    def __call__(self, seen: Seen) -> Tensor:
        """(B,), smaller is better, differentiable; further axes of what is seen stay."""


@dataclass(frozen=True)
class TargetTerm:
    """F(output, target): the distance of what is made from something fixed.  target: (D,), or (B, D)."""

    name: str
    weight: float | Tensor
    medium: str
    target: Tensor

    def __call__(self, seen: Seen) -> Tensor:
        return distance(seen.embedding(self.medium), self.target)


class PromptTerm(TargetTerm):
    """F(output, prompt): what the user asked for in words."""


@dataclass(frozen=True)
class PairTerm:
    """F(e_v, e_a): the distance of a video from the sound that is made with it."""

    name: str
    weight: float

    def __call__(self, seen: Seen) -> Tensor:
        return distance(seen.embedding("vision"), seen.embedding("audio"))


@dataclass(frozen=True)
class MomentsTerm:
    """What is made fits something fixed at each moment better than at others.  target: (S, T, D), or (B, S, T, D)."""

    weight: float
    medium: str
    target: Tensor
    name: str = "moments"

    def __call__(self, seen: Seen) -> Tensor:
        return moments_distance(seen.moments(self.medium), self.target)


@dataclass(frozen=True)
class PairMomentsTerm:
    """A video fits the sound that is made with it at each moment better than at others."""

    weight: float
    name: str = "moments"

    def __call__(self, seen: Seen) -> Tensor:
        return moments_distance(seen.moments("vision"), seen.moments("audio"))


MOMENT_TERMS = (MomentsTerm, PairMomentsTerm)


@dataclass(frozen=True)
class EventTimesTerm:
    """1 - correlation of what is made with wanted events; 0 for a sample without any. Looks at the whole.

    times_s: the events of each sample, or of all, in seconds.
    """

    weight: float
    medium: str
    times_s: Sequence[Sequence[float]]
    name: str = SYNC
    _target: list[EventTarget] = field(default_factory=list)

    def __call__(self, seen: Seen) -> Tensor:
        curve = seen.curve(self.medium)
        if not self._target:  # the curve's length is known only now
            self._target.append(EventTarget(self.times_s, curve))
        return self._target[0].distance(curve)


@dataclass(frozen=True)
class OnsetMotionTerm:
    """1 - correlation of a video's motion with the onset strength of the sound that is made with it. Looks at the whole."""

    weight: float
    name: str = SYNC

    def __call__(self, seen: Seen) -> Tensor:
        return 1 - curves_correlation(seen.curve("vision"), seen.curve("audio"))


@dataclass(frozen=True)
class TextureTerm:
    """A sound keeps the texture that it had.  kept: of each sample.  silent: (B, 1, 1), what counted as silence.  step_s: of bands."""

    weight: float
    medium: str
    kept: Texture
    silent: Tensor
    step_s: float
    name: str = TEXTURE

    @classmethod
    def of(cls, weight: float, medium: str, view: AudioView, x0: Tensor) -> TextureTerm:
        """Of what this x0, (B, ...), sounds like."""
        windows = range(len(view.generator.windows_s))
        bands = view.bands(view.decode(x0, view.parts(windows, whole=True)))
        silent, step_s = silence(bands), view.generator.onset_step_s
        return cls(weight, medium, texture(bands, silent, step_s), silent, step_s)

    def __call__(self, seen: Seen) -> Tensor:
        return texture_distance(texture(seen.bands(self.medium), self.silent, self.step_s), self.kept)


@dataclass(frozen=True)
class WeightedLoss:
    """x0s -> the mean over the windows of their terms, and the terms that look at the whole.

    views: by medium, in the order of the generators.  window_terms: of each window.
    What the terms need is decoded once. A window's terms go back to what was decoded before the next window is embedded; one
    backward pass then goes through the decoders. So memory is that of one window, and nothing is computed twice.
    """

    views: Mapping[str, View]
    window_terms: Sequence[Sequence[Term]]
    whole_terms: Sequence[Term] = ()

    def __bool__(self) -> bool:
        """Whether there is any term."""
        return bool(self.whole_terms) or any(self.window_terms)

    def of_moments(self) -> WeightedLoss:
        """The terms that say when, without those that say what."""
        return replace(
            self, window_terms=[[term for term in own if isinstance(term, MOMENT_TERMS)] for own in self.window_terms]
        )

    def keeping(self, x0s: Sequence[Tensor]) -> WeightedLoss:
        """With a term that keeps the texture of each of these that is a sound, (B, ...)."""
        sounds = [(medium, view, x0) for (medium, view), x0 in zip(self.views.items(), x0s, strict=True)]
        kept = [TextureTerm.of(KEEP, medium, view, x0) for medium, view, x0 in sounds if isinstance(view, AudioView)]
        return replace(self, whole_terms=[*self.whole_terms, *kept])

    def __call__(self, x0s: Sequence[Tensor]) -> Evaluation:
        sums = _Sums()
        total = [torch.zeros_like(x0) for x0 in x0s]
        leaves = [x0.detach().requires_grad_() for x0 in x0s]
        for windows in self._passes():
            parts = {medium: view.parts(windows, whole=bool(self.whole_terms)) for medium, view in self.views.items()}
            with torch.enable_grad():
                decoded = [
                    view.decode(leaf, parts[medium]) for (medium, view), leaf in zip(self.views.items(), leaves, strict=True)
                ]
            gradients = self._backward_to_decoded(decoded, parts, windows, sums)
            total = [so_far + own for so_far, own in zip(total, torch.autograd.grad(decoded, leaves, gradients), strict=True)]
        return sums.evaluation(total)

    def embeddings(self, medium: str, x0: Tensor) -> tuple[Tensor, Preview]:
        """(windows, B, D) of what one generator's x0 decodes to, window by window, and the first window; takes no gradients."""
        view, rows, previews = self.views[medium], [], list[Preview]()
        with torch.no_grad():
            for window in range(len(self.window_terms)):
                parts = view.parts([window], whole=False)
                embedded, preview = view.embed(view.decode(x0, parts), parts, window)
                rows.append(embedded.clips.mean(1))
                previews.append(preview)
        return torch.stack(rows), previews[0]

    def _passes(self) -> Iterator[Sequence[int]]:
        """Windows that are decoded together: all of them where a term looks at the whole, else one after another."""
        windows = range(len(self.window_terms))
        yield from [windows] if self.whole_terms else [[window] for window in windows if self.window_terms[window]]

    def _backward_to_decoded(
        self, decoded: Sequence[Tensor], parts: Mapping[str, Sequence[int]], windows: Sequence[int], sums: _Sums
    ) -> list[Tensor]:
        """d loss / d decoded. Samples of a batch do not see each other, so the gradient of the sum is each one's own."""
        roots = [one.detach().requires_grad_() for one in decoded]
        total: list[Tensor] = [torch.zeros_like(root) for root in roots]
        for window in windows:
            seen = SeenDecoded(self.views, dict(zip(self.views, roots, strict=True)), parts, window)
            with torch.enable_grad():
                terms = [(term, 1 / len(self.window_terms)) for term in self.window_terms[window]]
                terms += [(term, 1.0) for term in self.whole_terms if window == windows[-1]]
                values = [(term, share, term(seen)) for term, share in terms]
                if not values:
                    continue
                loss = torch.stack([share * (term.weight * value) for term, share, value in values]).sum(0)  # (B,)
                own = torch.autograd.grad(loss.sum(), roots, materialize_grads=True)
            for so_far, more in zip(total, own, strict=True):
                so_far += more
            sums.add(loss, values, seen.previews)
        return total


class _Sums:
    """Loss and terms over the windows: of several terms of one name the mean."""

    def __init__(self) -> None:
        self.loss: list[Tensor] = []
        self.terms: dict[str, list[Tensor]] = {}
        self.previews: tuple[Preview, ...] = ()

    def add(self, loss: Tensor, values: Sequence[tuple[Term, float, Tensor]], previews: Mapping[str, Preview]) -> None:
        self.loss.append(loss.detach())
        for term, _, value in values:
            self.terms.setdefault(term.name, []).append(value.detach())
        self.previews = self.previews or tuple(previews.values())

    def evaluation(self, gradients: Sequence[Tensor]) -> Evaluation:
        means = {name: torch.stack(values).mean(0) for name, values in self.terms.items()}
        return Evaluation(torch.stack(self.loss).sum(0), tuple(gradients), means, self.previews)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """F(a, b) = 1 - cos(a, b) over the last axis, from 0 (same direction) to 2."""
    return 1 - cosine_similarity(a, b, dim=-1)


def texture_distance(a: Texture, b: Texture) -> Tensor:
    """The mean of how far their spectra and their rhythms are apart, (B,). Differentiable."""
    return torch.stack([distance(own, other) for own, other in zip(a, b, strict=True)]).mean(0)
