"""The record of a run: what the loss did, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .loop import Evaluation
from .losses import SYNC, TEXTURE
from .settings import AlignSettings


@dataclass(frozen=True)
class TracePoint:
    """One inner step.  loss, terms: the mean over the batch, before the latent was moved."""

    step: int
    inner: int
    loss: float
    terms: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """Drafts of the first sample, compared.

    step: of the run, that they had come to.  losses: of those that fit the prompt.  chosen: of the one that the run goes on from.
    """

    step: int
    losses: tuple[float, ...]
    chosen: float

    def __str__(self) -> str:
        spread = f"{min(self.losses):.4f} to {max(self.losses):.4f}; " if self.losses else ""
        return (
            f"step {self.step}: {len(self.losses)} drafts that fit the prompt, loss {spread}the chosen one's {self.chosen:.4f}"
        )


@dataclass(frozen=True)
class Trace:
    """All inner steps of a run, in order, and what the user should know of it (`notes`). Prints as a small table.

    binder: the name of the one that guided, or compared the drafts.  comparisons: of drafts.
    """

    settings: AlignSettings
    steps: int
    points: tuple[TracePoint, ...]
    notes: tuple[str, ...] = ()
    binder: str = ""
    comparisons: tuple[Comparison, ...] = ()

    @property
    def terms(self) -> list[str]:
        """The names of all terms; the beginning of a draft has fewer than the steps that follow."""
        return list(dict.fromkeys(name for point in self.points for name in point.terms))

    def __str__(self) -> str:
        tuning = f", prompt tuning {self.settings.prompt_strength:g}" if self.settings.prompt_strength else ""
        head = f"{self.settings.mode} mode, strength {self.settings.strength:g}{tuning}, {self.steps} steps"
        if self.binder and set(self.terms) - {SYNC, TEXTURE}:
            head += f", guided by {self.binder}"
        elif self.binder and self.comparisons:
            head += f", drafts compared by {self.binder}"
        rest = [*map(str, self.comparisons), *self.notes]
        if not self.points:
            return "\n".join([head + ": no step was guided", *rest])
        rows = ["step  inner  loss    " + "  ".join(f"{name:8}" for name in self.terms)]
        for point in self.points:
            values = "  ".join(f"{point.terms[name]:8.4f}" if name in point.terms else " " * 8 for name in self.terms)
            rows.append(f"{point.step:4}  {point.inner:5}  {point.loss:.4f}  {values}")
        return "\n".join([head, *rows, *rest])


class Recorder:
    """Keeps what the loss did on the device, so that a step never waits for it; read in one go at the end of the run."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int, dict[str, Tensor]]] = []

    def add(self, step: int, inner: int, evaluation: Evaluation) -> None:
        self._seen.append((step, inner, evaluation.on_device()))

    def points(self) -> tuple[TracePoint, ...]:
        if not self._seen:
            return ()
        numbers = iter(torch.stack([value for _, _, terms in self._seen for value in terms.values()]).tolist())
        found = []
        for step, inner, terms in self._seen:
            read = {name: next(numbers) for name in terms}
            found.append(TracePoint(step, inner, read.pop("loss"), read))
        return tuple(found)
