"""The terms of the tasks' losses (eqs. 14-16), put together from prompts, further targets and moments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from ..binders.base import Binder, Embedded
from .losses import EventTimesTerm, MomentsTerm, PairMomentsTerm, PairTerm, PromptTerm, TargetTerm, Term
from .settings import AlignSettings
from .sync import parse_times
from .targets import AlignTarget, embed_targets


def joint_terms(binder: Binder, prompts: Sequence[str], settings: AlignSettings, targets: Sequence[AlignTarget]) -> list[Term]:
    """Eq. 16: F(e_v, e_p) + F(e_v, e_a) + F(e_a, e_p), and the further targets for both."""
    if not settings.enabled or not settings.binder_weight:
        return []
    seen, heard = (binder.embed_text(prompts, medium) for medium in ("vision", "audio"))
    text_weight = _text_weight(prompts, settings, seen)
    vision_weight, audio_weight = settings.binder_weight * settings.vision_weight, settings.audio_weight
    return weighted(
        [
            PromptTerm("vision-text", text_weight * vision_weight, "vision", seen),
            *pair_terms(binder, settings),
            PromptTerm("audio-text", text_weight * (audio_weight * settings.binder_weight), "audio", heard),
            *_further_targets(binder, ["vision", "audio"], settings, targets),
        ]
    )


def pair_terms(binder: Binder, settings: AlignSettings) -> list[Term]:
    """Video and audio that are made together: F(e_v, e_a), and the same moment by moment."""
    weight = settings.binder_weight * settings.vision_weight * settings.audio_weight
    moments = [PairMomentsTerm(weight * settings.moment_weight)] if binder.tells_when else []
    return weighted([PairTerm("vision-audio", weight), *moments])


def fit_terms(
    name: str, weight: float, medium: str, target: Embedded, settings: AlignSettings, share: float | Tensor = 1.0
) -> list[Term]:
    """What is made should fit a window of a video or a sound, clips (rows, S, D), as a whole and moment by moment.

    share: what the prompts leave open of what it is, (rows,); of when they leave everything.
    """
    terms: list[Term] = [TargetTerm(name, weight * share, medium, target.clips.mean(-2))]
    if target.over_time is not None:
        terms.append(MomentsTerm(weight * settings.moment_weight, medium, target.over_time))
    return weighted(terms)


def prompt_and_target_terms(
    binder: Binder, medium: str, prompts: Sequence[str], settings: AlignSettings, targets: Sequence[AlignTarget]
) -> list[Term]:
    """The terms that every window has: the prompt's, and those of the further targets, embedded once."""
    if not settings.enabled or not settings.binder_weight:
        return []
    text = binder.embed_text(prompts, medium)
    return weighted(
        [
            PromptTerm("text", settings.binder_weight * _text_weight(prompts, settings, text), medium, text),
            *_further_targets(binder, [medium], settings, targets),
        ]
    )


def _further_targets(
    binder: Binder, media: Sequence[str], settings: AlignSettings, targets: Sequence[AlignTarget]
) -> list[Term]:
    """A term for each of the run's further targets and each medium that they steer."""
    return [
        TargetTerm(name, settings.binder_weight * weight, medium, target)
        for medium in media
        for name, weight, target in embed_targets(binder, targets, medium)
    ]


def _text_weight(prompts: Sequence[str], settings: AlignSettings, like: Tensor) -> float | Tensor:
    """Of the text term: 0 for an empty prompt; (B,) where only some are empty."""
    written = [float(bool(prompt.strip())) for prompt in prompts]
    return settings.text_weight * (written[0] if len(set(written)) == 1 else like.new_tensor(written))


def weighted(terms: Iterable[Term]) -> list[Term]:
    """Those that have a weight."""
    return [term for term in terms if isinstance(term.weight, Tensor) or term.weight > 0]


def event_terms(
    medium: str, settings: AlignSettings, event_times: str, duration_s: float, found: Callable[[], list[list[float]]]
) -> list[Term]:
    """What should happen when: at times given by hand, which always count, or at those found in the input."""
    if not settings.enabled:
        return []
    if event_times.strip():
        return [EventTimesTerm(settings.sync_weight or 1.0, medium, [parse_times(event_times, duration_s)])]
    times_s = found() if settings.sync_weight else [[]]
    return [EventTimesTerm(settings.sync_weight, medium, times_s)] if any(times_s) else []
