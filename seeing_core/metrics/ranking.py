"""The best of several candidates, by a measure that is not the one they were made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import InputError
from .fit import AVFit, format_score

Score = Callable[[AVFit], float | None]


def _earliness(fit: AVFit) -> float | None:
    return None if fit.lag.lag_s is None else -abs(1000 * fit.lag.lag_s)


def _similarity(fit: AVFit) -> float | None:
    return None if fit.binder is None else fit.binder.av


def _text_similarity(fit: AVFit) -> float | None:
    return None if fit.binder is None else fit.binder.at


MEASURES: dict[str, Score] = {  # larger is better
    "AV-Align (one to one)": lambda fit: fit.one_to_one.score,
    "AV-Align (paper)": lambda fit: fit.paper.score,
    "lag correlation": lambda fit: fit.lag.correlation,
    "smallest lag": _earliness,
    "binder: sound and picture": _similarity,
    "binder: sound and prompt": _text_similarity,
}
COLUMNS: dict[str, tuple[Score, int]] = {  # of the printed table, and their decimals
    "AV-Align": (lambda fit: fit.one_to_one.score, 2),
    "paper": (lambda fit: fit.paper.score, 2),
    "lag ms": (lambda fit: None if fit.lag.lag_s is None else 1000 * fit.lag.lag_s, 0),
    "corr.": (lambda fit: fit.lag.correlation, 2),
    "binder": (_similarity, 2),
    "prompt": (_text_similarity, 2),
}
NEEDS_BINDER = {"binder: sound and picture", "binder: sound and prompt"}
NEEDS_PROMPT = {"binder: sound and prompt"}
TIE_BREAK = "lag correlation"
DEFAULT = "AV-Align (one to one)"


@dataclass(frozen=True)
class Ranking:
    """order: indices of the candidates, best first. Prints as a table; candidates are counted from 1 there."""

    measure: str
    fits: tuple[AVFit, ...]
    order: tuple[int, ...]

    @property
    def best(self) -> int:
        return self.order[0]

    def __str__(self) -> str:
        columns = [name for name in COLUMNS if any(COLUMNS[name][0](fit) is not None for fit in self.fits)]
        score = format_score(MEASURES[self.measure](self.fits[self.best]))
        head = f"Best: candidate {self.best + 1} of {len(self.fits)}, by {self.measure}: {score}"
        rows = ["  ".join(["rank", "candidate", *columns])]
        for place, index in enumerate(self.order, start=1):
            cells = [_cell(self.fits[index], name) for name in columns]
            rows.append("  ".join([f"{place:4}", f"{index + 1:9}", *cells]))
        return "\n".join([head, *rows])


def check_measure(measure: str, *, binder: bool, prompt: str) -> None:
    """Raises InputError for an unknown measure, and for one whose binder or prompt is missing."""
    if measure not in MEASURES:
        raise InputError("measure", f"'{measure}'", "one of " + ", ".join(MEASURES))
    if measure in NEEDS_BINDER and not binder:
        raise InputError("binder", "nothing", f"a binder, which the measure '{measure}' needs", "Connect Load ImageBind.")
    if measure in NEEDS_PROMPT and not prompt.strip():
        raise InputError("prompt", "an empty prompt", f"a prompt, which the measure '{measure}' needs")


def rank(fits: Sequence[AVFit], measure: str = DEFAULT) -> Ranking:
    """The candidates from best to worst. Ties go by lag correlation, then by order; an undefined score comes last.

    Raises InputError without candidates and for an unknown measure.
    """
    if not fits:
        raise InputError("candidates", "none", "at least one")
    check_measure(measure, binder=True, prompt="any")
    first, second = MEASURES[measure], MEASURES[TIE_BREAK]
    order = sorted(range(len(fits)), key=lambda i: (_low(first(fits[i])), _low(second(fits[i]))))
    return Ranking(measure, tuple(fits), tuple(order))


def in_a_line(fit: AVFit) -> str:
    """The measures that are defined, each after its name."""
    cells = [f"{name} {value:.{digits}f}" for name, (score, digits) in COLUMNS.items() if (value := score(fit)) is not None]
    return "   ".join(cells) or "undefined: nothing sounds and nothing moves"


def _low(score: float | None) -> float:
    return float("inf") if score is None else -score


def _cell(fit: AVFit, name: str) -> str:
    score, digits = COLUMNS[name]
    value = score(fit)
    return f"{'-' if value is None else f'{value:.{digits}f}':>{len(name)}}"
