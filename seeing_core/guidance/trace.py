"""The record of a run: what the loss did, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from .settings import AlignSettings


@dataclass(frozen=True)
class TracePoint:
    """One inner step.  loss, terms: the mean over the batch, before the latent was moved."""

    step: int
    inner: int
    loss: float
    terms: dict[str, float]


@dataclass(frozen=True)
class Trace:
    """All inner steps of a run, in order, and what the user should know of it (`notes`). Prints as a small table."""

    settings: AlignSettings
    steps: int
    points: tuple[TracePoint, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = list(self.points[0].terms) if self.points else []
        tuning = f", prompt tuning {self.settings.prompt_strength:g}" if self.settings.prompt_strength else ""
        head = f"{self.settings.mode} mode, strength {self.settings.strength:g}{tuning}, {self.steps} steps"
        if not self.points:
            return "\n".join([head + ": no step was guided", *self.notes])
        rows = ["step  inner  loss    " + "  ".join(f"{name:8}" for name in names)]
        for point in self.points:
            values = "  ".join(f"{point.terms[name]:8.4f}" for name in names)
            rows.append(f"{point.step:4}  {point.inner:5}  {point.loss:.4f}  {values}")
        return "\n".join([head, *rows, *self.notes])
