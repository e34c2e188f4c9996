"""The one error type for bad input: it names the input, what came, and what was expected."""

from __future__ import annotations

import math


class InputError(ValueError):
    """Bad input from the user. Reads "<name>: received <received>; expected <expected>. <hint>"."""

    def __init__(self, name: str, received: object, expected: str, hint: str = "") -> None:
        self.name = name
        super().__init__(f"{name}: received {received}; expected {expected}." + (f" {hint}" if hint else ""))


def check_number(name: str, value: float, low: float, high: float, *, unit: str = "") -> float:
    """`value` as a float. Raises InputError unless it is finite and within [low, high]."""
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(name, value, f"a number from {low:g} to {high:g}{' ' + unit if unit else ''}")
    return float(value)
