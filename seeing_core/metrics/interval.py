"""A mean and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Mean:
    """The mean of `count` values and its 95 % bootstrap interval; NaN without values. Undefined ones are not counted."""

    mean: float
    low: float
    high: float
    count: int
    undefined: int

    def __str__(self) -> str:
        if not self.count:
            return "undefined"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.count})"


def mean_interval(values: Sequence[float | None], *, seed: int = 0) -> Mean:
    """The mean of the values that are neither None nor NaN, with the percentile bootstrap's 95 % interval."""
    from scipy.stats import bootstrap

    kept = np.array([v for v in values if v is not None and not math.isnan(v)], dtype=np.float64)
    undefined = len(values) - len(kept)
    if not len(kept):
        return Mean(math.nan, math.nan, math.nan, 0, undefined)
    mean = float(kept.mean())
    if len(kept) == 1:
        return Mean(mean, mean, mean, 1, undefined)
    drawn = bootstrap((kept,), np.mean, n_resamples=RESAMPLES, method="percentile", random_state=np.random.default_rng(seed))
    low, high = drawn.confidence_interval
    return Mean(mean, float(low), float(high), len(kept), undefined)
