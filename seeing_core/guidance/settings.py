"""How strongly and in which way the aligner nudges: one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..errors import InputError
from ..media.types import check_number

Mode = Literal["paper", "gradient", "x0", "unet"]
MODES: tuple[str, ...] = get_args(Mode)
Solver = Literal["ddim", "dpm++"]
SOLVERS: tuple[str, ...] = get_args(Solver)
# λ₁ at strength 1. "paper": published (§4.1 of the paper). The others: found on the pocket world.
RATES: dict[str, dict[str, float]] = {
    "sound": {"paper": 0.1, "gradient": 30.0, "x0": 0.15, "unet": 0.2},
    "picture": {"paper": 0.01, "gradient": 3.0, "x0": 0.05, "unet": 0.05},
}
PROMPT_RATES = {"sound": 0.6, "picture": 0.05}  # λ₂ at prompt strength 1, in units of the embedding's own size


@dataclass(frozen=True)
class AlignSettings:
    """Settings of the aligner.

    mode: how the latent is nudged. "paper": the released code's rule, Adam made afresh each denoise step, on the latent
        after the step. "gradient": plain gradient descent on the same latent (eq. 13). "x0": the step is taken in the
        predicted clean latent and carried back with the same noise (MPGD), the gradient's size normalised. "unet": the
        gradient goes through the UNet to the latent before the step (DPS), its size normalised.
    strength: 1 is the mode's usual rate λ₁ for the model (`RATES`); 0 leaves the latent alone.
    prompt_strength: 1 is the usual rate λ₂ of guided prompt tuning (eq. 17); 0 leaves the prompt alone. Tuning runs the
        UNet with gradients.
    start_fraction, end_fraction: denoise step i of n is guided when i > int(n * start) and i < n * end; a start of 0
        guides from the first step on, of 1 never.
    inner_steps: gradient steps per denoise step.
    vision_weight, audio_weight, text_weight: weights of the loss terms (eqs. 14-16).
    every: of the steps that would be guided every k-th is, beginning with the first.
    clips: how many of the binder's one-second clips each inner step looks at (`ClipDraw`); 0 is all.
    slice_frames: frames that are decoded at once for the loss; 0 is as many as have the pixels of two of 512 x 512. Fewer need
        less memory; when one slice takes them all, nothing is decoded twice.
    cfg_end_fraction: the part of the steps after which the prompt is followed without classifier-free guidance, which halves
        the UNet's work.
    solver: "ddim" as published; "dpm++" is DPM-Solver++ of second order (Lu et al., 2022), which needs fewer steps.
    words: whether the prompt is completed in the binder's words before anything is made (`captions.complete`).
    fit_weight: of all that the binder compares; 0: it finds words, but takes no part in the steps.
    event_weight: of the event term: sound starts when the picture moves (`timing`).
    clip_weight: of the loss of each clip against the same clip of the target, beside that of their mean.
    recurrence: how often a guided step is taken back to its noise level and done again (time travel; Bansal et al., Universal
        Guidance, 2023).
    pull: how much of each nudge is taken back, from 0 to 1, towards the latent of the unguided step.
    gradient_clip: no element of a normalised update is larger than this many times their root mean square; 0 is no limit.
    augment: how much what the binder sees is changed at random at each inner step (`Augment`); 0 is not at all.
    early, middle, late: multiply λ₁ and λ₂ in the first, second and last third of the steps.
    """

    mode: Mode = "paper"
    strength: float = 1.0
    prompt_strength: float = 0.0
    start_fraction: float = 0.2
    end_fraction: float = 1.0
    inner_steps: int = 1
    vision_weight: float = 1.0
    audio_weight: float = 1.0
    text_weight: float = 1.0
    every: int = 1
    clips: int = 0
    slice_frames: int = 0
    cfg_end_fraction: float = 1.0
    solver: Solver = "ddim"
    words: bool = False
    fit_weight: float = 1.0
    event_weight: float = 0.0
    clip_weight: float = 0.0
    recurrence: int = 0
    pull: float = 0.0
    gradient_clip: float = 0.0
    augment: float = 0.0
    early: float = 1.0
    middle: float = 1.0
    late: float = 1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError("alignment mode", f"'{self.mode}'", "one of " + ", ".join(MODES))
        check_number("alignment strength", self.strength, 0, 100)
        check_number("prompt tuning strength", self.prompt_strength, 0, 100)
        check_number("start fraction", self.start_fraction, 0, 1)
        check_number("end fraction", self.end_fraction, 0, 1)
        check_number("inner steps", self.inner_steps, 1, 100)
        check_number("vision weight", self.vision_weight, 0, 100)
        check_number("audio weight", self.audio_weight, 0, 100)
        check_number("text weight", self.text_weight, 0, 100)
        check_number("guided steps", self.every, 1, 1000)
        check_number("clips", self.clips, 0, 1000)
        check_number("frames per slice", self.slice_frames, 0, 1000)
        check_number("end of guidance by prompt", self.cfg_end_fraction, 0, 1)
        if self.solver not in SOLVERS:
            raise InputError("solver", f"'{self.solver}'", "one of " + ", ".join(SOLVERS))
        check_number("fit weight", self.fit_weight, 0, 100)
        check_number("event weight", self.event_weight, 0, 100)
        check_number("clip weight", self.clip_weight, 0, 100)
        check_number("recurrence", self.recurrence, 0, 20)
        check_number("pull", self.pull, 0, 1)
        check_number("gradient clip", self.gradient_clip, 0, 100)
        check_number("augmentation", self.augment, 0, 10)
        for part in ("early", "middle", "late"):
            check_number(f"{part} strength", getattr(self, part), 0, 100)

    def rate(self, medium: str) -> float:
        """λ₁ for a model that makes this medium, "sound" or "picture"."""
        return RATES[medium][self.mode] * self.strength

    def prompt_rate(self, medium: str) -> float:
        """λ₂ likewise."""
        return PROMPT_RATES[medium] * self.prompt_strength

    @property
    def aligns(self) -> bool:
        return self.strength > 0 or self.prompt_strength > 0

    @property
    def attends(self) -> bool:
        """Whether the target has a say at all: in the steps, or in the words of the prompt."""
        return self.aligns or self.words

    @property
    def through_unet(self) -> bool:
        """Whether gradients go through the UNet."""
        return self.prompt_strength > 0 or (self.mode == "unet" and self.strength > 0)

    def guides(self, step: int, steps: int) -> bool:
        """Whether denoise step `step` of `steps` is guided."""
        first = 0 if self.start_fraction == 0 else int(steps * self.start_fraction) + 1
        return self.aligns and first <= step < math.ceil(steps * self.end_fraction) and (step - first) % self.every == 0

    def window(self, step: int, steps: int) -> float:
        """What both rates are multiplied by at this step."""
        return (self.early, self.middle, self.late)[3 * step // steps]

    def weighted(self, *, vision: float = 1.0, text: float = 1.0) -> AlignSettings:
        """The same with the weights of these loss terms multiplied."""
        return replace(self, vision_weight=self.vision_weight * vision, text_weight=self.text_weight * text)

    def scaled(self, factor: float, prompt_factor: float | None = None, *, words: bool = True) -> AlignSettings:
        """The same with the strengths multiplied, the prompt's by the same factor unless it has its own.

        words: False leaves the prompt as it is. Factors of 0 turn the aligner off, and its words with it.
        """
        prompt_factor = factor if prompt_factor is None else prompt_factor
        return replace(self, strength=self.strength * factor, prompt_strength=self.prompt_strength * prompt_factor,
                       words=self.words and words and factor > 0)


# Ways to align, for those who do not want to set each part, found on the pocket world by tests/benchmarks/search.py. What a
# thing is gets decided by its prompt, so that is put into the binder's words; when things happen is decided early, in the
# noisiest steps, so those are nudged (of a film every other one), and the others left to the denoiser, which makes it sound and
# look real.
_OURS = AlignSettings("x0", start_fraction=0.0, end_fraction=0.3, text_weight=0.2, words=True, event_weight=1.0)
AUDIO_PRESETS: dict[str, AlignSettings] = {
    "balanced": replace(_OURS, strength=2.0, inner_steps=2),
    "paper": AlignSettings("paper"),
    "gradient": AlignSettings("gradient"),
    "x0": AlignSettings("x0"),
    "quality": replace(_OURS, strength=1.5, inner_steps=2, end_fraction=0.4),
    "fast": replace(_OURS, strength=2.0, fit_weight=0.0),
}
VIDEO_PRESETS: dict[str, AlignSettings] = {
    "balanced": replace(_OURS, mode="unet", strength=3.0, end_fraction=0.6, every=2),
    "paper": AlignSettings("paper", prompt_strength=1.0),
    "quality": replace(_OURS, mode="unet", strength=2.0, end_fraction=1.0),
    "fast": replace(_OURS, strength=0.0, cfg_end_fraction=0.5),
}
# Both together: the sound follows the film more easily than the film the sound, and through the UNet a sound becomes another.
JOINT_PRESETS: dict[str, AlignSettings] = VIDEO_PRESETS | {
    "balanced": AUDIO_PRESETS["balanced"], "quality": replace(AUDIO_PRESETS["quality"], strength=2.0),
}
