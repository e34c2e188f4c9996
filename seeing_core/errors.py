"""The one error type for bad input: it names the input, what came, and what was expected."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from the user. Reads "<name>: received <received>; expected <expected>. <hint>"."""

    def __init__(self, name: str, received: object, expected: str, hint: str = "") -> None:
        self.name = name
        super().__init__(f"{name}: received {received}; expected {expected}." + (f" {hint}" if hint else ""))
