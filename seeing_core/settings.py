"""How strongly and in which way the aligner nudges: one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from .errors import InputError
from .media import check_number

Mode = Literal["paper", "gradient", "x0"]
MODES: tuple[str, ...] = get_args(Mode)
RATES = {"paper": 0.1, "gradient": 30.0, "x0": 0.15}


@dataclass(frozen=True)
class AlignSettings:
    """Settings of the aligner.

    mode: "paper", the released code's rule (Adam, made afresh each denoise step, on the latent after the step);
        "gradient", plain gradient descent on the same latent (eq. 13); "x0", the step is taken in the predicted
        clean latent and carried back with the same noise (MPGD, He et al., ICLR 2024), the gradient's size normalised.
    strength: 1 is each mode's usual rate (`RATES`); 0 turns the aligner off.
    start_fraction: denoise step i is guided when i > int(steps * start_fraction); 1 guides none.
    inner_steps: gradient steps per denoise step.
    vision_weight, text_weight: weights of F(e_a, e_v) and F(e_a, e_p) (eq. 14).
    """

    mode: Mode = "paper"
    strength: float = 1.0
    start_fraction: float = 0.2
    inner_steps: int = 1
    vision_weight: float = 1.0
    text_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError("alignment mode", f"'{self.mode}'", "one of " + ", ".join(MODES))
        check_number("alignment strength", self.strength, 0, 100)
        check_number("start fraction", self.start_fraction, 0, 1)
        check_number("inner steps", self.inner_steps, 1, 100)
        check_number("vision weight", self.vision_weight, 0, 100)
        check_number("text weight", self.text_weight, 0, 100)

    @property
    def rate(self) -> float:
        return RATES[self.mode] * self.strength

    def guides(self, step: int, steps: int) -> bool:
        """Whether denoise step `step` of `steps` is guided."""
        return self.rate > 0 and self.vision_weight + self.text_weight > 0 and step > int(steps * self.start_fraction)
