"""How strongly and in which way the aligner guides: one frozen value, and the presets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..errors import InputError, check_number

Mode = Literal["paper", "gradient", "x0", "unet"]
MODES: tuple[str, ...] = get_args(Mode)
Completion = Literal["when empty", "always", "never"]
COMPLETIONS: tuple[str, ...] = get_args(Completion)


@dataclass(frozen=True)
class AlignSettings:
    """Settings of the aligner.

    mode: how the latent is guided. "paper": the released code's rule, Adam made afresh at each denoise step, on the latent
        after the step. "gradient": plain gradient descent on the same latent (eq. 13). "x0": the step is taken in the
        predicted clean latent and carried back with the same noise (MPGD), the gradient's size normalised. "unet": the
        gradient goes through the UNet to the latent before the step (DPS), its size normalised.
    strength: 1 is the generator's own step size λ₁ for the mode; 0 leaves the latent alone.
    prompt_strength: 1 is the generator's own step size λ₂ of guided prompt tuning (eq. 17); 0 leaves the prompt alone. Tuning
        runs the UNet with gradients.
    start_fraction, end_fraction: denoise step i of n is guided when i > int(n * start) and i < n * end; a start of 0
        guides from the first step on, of 1 never.
    inner_steps: gradient steps per guided step.
    guide_every: of the steps between start and end every k-th is guided, beginning with the first.
    cfg_start_fraction, cfg_end_fraction: the parts of the steps before and after which the prompt is followed without
        classifier-free guidance, which halves the UNet's work (Kynkäänniemi et al., NeurIPS 2024).
    vision_weight, audio_weight, text_weight: weights of the loss terms (eqs. 14-16).
    binder_weight: of all that the binder compares. 0: it may complete the prompt, but takes no part in the steps.
    sync_weight: of the term that makes things sound when they move.
    moment_weight: of what fits moment by moment, in the eyes and ears of a binder that tells when; times the weights above.
    drafts: beginnings that are tried in a few coarse steps, of which the run goes on with the best (`drafts`). 1: none is compared.
    draft_fraction: of the denoise steps, those at the start that a draft shares with the run, which goes on from there: made in a few
        coarse ones, and guided by the sync and moment terms alone while a sound keeps its texture. 0: nothing but the noise is
        shared, and no draft is guided.
    draft_gain: up to what the first prediction of a draft is multiplied (`drafts.gains_of`). 1: it is left as it is.
    give_way: how far the target gives way to a prompt that says another thing (`prompt_completion.left_open`): 1 is all that the
        prompt decides, 0 nothing.
    complete_prompt: which prompts are completed in the binder's words before anything is made (`prompt_completion`): those
        that are empty, all, or none.
    """

    mode: Mode = "paper"
    strength: float = 1.0
    prompt_strength: float = 0.0
    start_fraction: float = 0.2
    end_fraction: float = 1.0
    inner_steps: int = 1
    guide_every: int = 1
    cfg_start_fraction: float = 0.0
    cfg_end_fraction: float = 1.0
    vision_weight: float = 1.0
    audio_weight: float = 1.0
    text_weight: float = 1.0
    binder_weight: float = 1.0
    sync_weight: float = 0.0
    moment_weight: float = 0.0
    drafts: int = 1
    draft_fraction: float = 0.0
    draft_gain: float = 1.0
    give_way: float = 0.0
    complete_prompt: Completion = "never"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError("mode", f"'{self.mode}'", "one of " + ", ".join(MODES))
        if self.complete_prompt not in COMPLETIONS:
            raise InputError("complete the prompt", f"'{self.complete_prompt}'", "one of " + ", ".join(COMPLETIONS))
        check_number("strength", self.strength, 0, 100)
        check_number("prompt tuning strength", self.prompt_strength, 0, 100)
        check_number("start fraction", self.start_fraction, 0, 1)
        check_number("end fraction", self.end_fraction, 0, 1)
        check_number("inner steps", self.inner_steps, 1, 100)
        check_number("guide every", self.guide_every, 1, 1000)
        check_number("start of classifier-free guidance", self.cfg_start_fraction, 0, 1)
        check_number("end of classifier-free guidance", self.cfg_end_fraction, 0, 1)
        check_number("drafts", self.drafts, 1, 64)
        check_number("draft fraction", self.draft_fraction, 0, 1)
        check_number("draft gain", self.draft_gain, 0, 10)
        check_number("give way to the prompt", self.give_way, 0, 1)
        for name in ("vision", "audio", "text", "binder", "sync", "moment"):
            check_number(f"{name} weight", getattr(self, f"{name}_weight"), 0, 100)

    @property
    def enabled(self) -> bool:
        """Whether any step is to be guided."""
        return self.strength > 0 or self.prompt_strength > 0

    @property
    def uses_target(self) -> bool:
        """Whether the target has a say at all: in the steps, or in the completed prompt."""
        return self.enabled or self.complete_prompt != "never"

    @property
    def through_unet(self) -> bool:
        """Whether gradients go through the UNet."""
        return self.prompt_strength > 0 or (self.mode == "unet" and self.strength > 0)

    def is_guided(self, step: int, steps: int) -> bool:
        """Whether denoise step `step` of `steps` is guided."""
        return self.is_within(step, steps) and (step - self._first(steps)) % self.guide_every == 0

    def is_within(self, step: int, steps: int) -> bool:
        """Whether denoise step `step` of `steps` lies where guidance is on."""
        return self.enabled and self._first(steps) <= step < math.ceil(steps * self.end_fraction)

    def _first(self, steps: int) -> int:
        return 0 if self.start_fraction == 0 else int(steps * self.start_fraction) + 1

    def cfg_steps(self, steps: int) -> range:
        """Of a run's steps those with classifier-free guidance."""
        return range(math.ceil(steps * self.cfg_start_fraction), math.ceil(steps * self.cfg_end_fraction))

    def shared_steps(self, steps: int) -> int:
        """Of a run's steps those that its drafts share with it; at least one is left."""
        return min(math.ceil(steps * self.draft_fraction), steps - 1)

    def completes(self, prompt: str) -> bool:
        """Whether this prompt is to be completed."""
        return self.complete_prompt == "always" or (self.complete_prompt == "when empty" and not prompt.strip())

    def scaled(self, strength: float) -> AlignSettings:
        """The same with both strengths multiplied. At 0 there are no drafts to set apart: classifier-free guidance begins at once."""
        return replace(
            self,
            strength=self.strength * strength,
            prompt_strength=self.prompt_strength * strength,
            cfg_start_fraction=self.cfg_start_fraction if strength else 0.0,
        )


UNGUIDED = AlignSettings(strength=0.0)
# Found on the pocket models by tests/benchmarks/search.py. What a thing is follows from the prompt, and where that leaves it open
# from the noise, so several are tried; when things happen is settled early, in the noisiest steps, so only those are guided,
# and the rest is left to the generator, which makes it sound and look real. Sounds are guided before one is chosen: the binder
# guides none of their steps, so a rounding changes next to nothing.
_OURS = AlignSettings(
    "x0", start_fraction=0.0, end_fraction=0.3, text_weight=0.2, complete_prompt="when empty", sync_weight=1.0
)
AUDIO_PRESETS: dict[str, AlignSettings] = {
    "balanced": replace(_OURS, strength=6.0, drafts=24, draft_fraction=0.3, give_way=1.0),
    "quality": replace(_OURS, strength=6.0, drafts=48, draft_fraction=0.3, give_way=1.0),
    "fast": replace(_OURS, strength=2.0, binder_weight=0.0),
    "paper": AlignSettings("paper"),
    "gradient": AlignSettings("gradient"),
    "x0": AlignSettings("x0"),
}
# Videos begin without classifier-free guidance, with which most come to the same few things. They are guided after the choice,
# through the UNet, at every second step, which costs half as much; sound and timing weigh more there, so that a video stays what
# was chosen, and moves in time even where it gives way to the prompt.
_VIDEO = replace(
    _OURS,
    mode="unet",
    strength=3.0,
    start_fraction=0.3,
    end_fraction=0.6,
    guide_every=2,
    cfg_start_fraction=0.3,
    audio_weight=10.0,
    sync_weight=2.0,
    draft_fraction=0.3,
    draft_gain=3.0,
    give_way=1.0,
)
VIDEO_PRESETS: dict[str, AlignSettings] = {
    "balanced": replace(_VIDEO, drafts=22),
    "quality": replace(_VIDEO, drafts=44),
    "fast": replace(_OURS, strength=0.0, cfg_end_fraction=0.5),
    "paper": AlignSettings("paper", prompt_strength=1.0),
}
# Audio follows video more easily than the other way round, and through the UNet a sound becomes another.
# The seed decides what the video is; the drafts are of the sound.
_JOINT = replace(_VIDEO, mode="x0", cfg_start_fraction=0.0, draft_gain=1.0, give_way=0.0)
JOINT_PRESETS: dict[str, AlignSettings] = VIDEO_PRESETS | {
    "balanced": replace(_JOINT, drafts=32),
    "quality": replace(_JOINT, drafts=64),
}
# Of a model whose sampling is someone else's: no drafts there, so that all that the targets say comes from the steps.
NATIVE = AlignSettings("x0", strength=3.0, start_fraction=0.0, end_fraction=0.5, sync_weight=1.0)
