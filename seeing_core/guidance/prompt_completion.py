"""Prompt completion: what the binder sees or hears in a target, put into words that the generator understands.

A gradient can only bend a prompt that already means something; "something making a sound" lies on a plateau. The binder knows
words as well as images, and so does the generator: the nearest phrase is a bridge from one to the other that needs no gradient,
and a start from which the aligner has little left to do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..binders.base import Binder, Embedded
from .settings import AlignSettings


def complete_prompt(binder: Binder, prompt: str, target: Tensor, medium: str) -> str:
    """The prompt with the phrase of the binder's vocabulary that is nearest to the target (D,), of the medium.

    As it is when it fits the target better than any phrase does.
    """
    if not binder.vocabulary:
        return prompt
    fits = cosine_similarity(target[None], binder.embed_text(binder.vocabulary, medium), dim=-1)
    if prompt.strip() and cosine_similarity(target[None], binder.embed_text([prompt], medium)) >= fits.max():
        return prompt
    return prepend(binder.vocabulary[int(fits.argmax())], prompt)


def complete_prompts(
    binder: Binder, prompts: Sequence[str], embedded: Sequence[Embedded], medium: str, settings: AlignSettings
) -> list[str]:
    """The prompts; those that the settings complete are completed for their own target.

    embedded: the targets' segments in each window, clips (rows, S, D) each; empty where there is no target.  medium: of the
    targets.
    """
    if not embedded:
        return list(prompts)
    targets = _whole(embedded)
    return [
        complete_prompt(binder, prompt, target, medium) if settings.completes(prompt) else prompt
        for prompt, target in zip(prompts, targets, strict=True)
    ]


def _whole(embedded: Sequence[Embedded]) -> Tensor:
    """Each target as a whole (B, D): the mean of its segments in all windows."""
    return torch.cat([own.clips for own in embedded], 1).mean(1)


def left_open(
    binder: Binder, prompts: Sequence[str], embedded: Sequence[Embedded], medium: str, settings: AlignSettings
) -> float | Tensor:
    """What share of what a thing is the prompts leave to their targets: (B,), 0 to 1; 1 for all where nothing gives way.

    A prompt decides as much as it stands out among the phrases that the binder knows; a vague one is as near to many. What it
    decides it takes from the target only as far as the target says another thing, that is, as it fits the target no better than
    those phrases do on average. Distances are taken from that average, for text and media embeddings lie apart.
    embedded, medium: as in `complete_prompts`.
    """
    asked = settings.enabled and settings.binder_weight and settings.give_way
    if not (asked and embedded and binder.vocabulary and any(prompt.strip() for prompt in prompts)):
        return 1.0
    target = _whole(embedded)
    said, known = binder.embed_text(prompts, medium), binder.embed_text(binder.vocabulary, medium)
    near = cosine_similarity(said[:, None], known[None], dim=-1)  # (B, V)
    decided = (near.amax(1) - near.mean(1)) / (1 - near.mean(1)).clamp_min(1e-6)
    seen = cosine_similarity(target[:, None], known[None], dim=-1)
    fits = (cosine_similarity(target, said, dim=-1) - seen.mean(1)) / (seen.amax(1) - seen.mean(1)).clamp_min(1e-6)
    written = torch.tensor([float(bool(prompt.strip())) for prompt in prompts]).to(decided)
    return 1 - settings.give_way * written * decided.clamp(0, 1) * (1 - fits.clamp(0, 1))


def give_way_notes(medium: str, share: float | Tensor) -> list[str]:
    """What to tell the user of targets, of the medium, of which the prompts leave open only a share, as in `left_open`."""
    left = [round(100 * own) for own in torch.as_tensor(share).flatten().tolist()]
    return [f"{medium}: gives way to the prompt; {own} % of its weight is left" for own in dict.fromkeys(left) if own < 90]


def draw_phrase(binder: Binder, prompt: str, seed: int) -> str:
    """The prompt with a phrase drawn from those near to it: the seed decides what a vague prompt means.

    For two models that have to agree with nothing but the prompt to go by. The less the nearest phrase fits, the more freely
    one is drawn: a precise prompt draws what it says already, an empty one anything.
    """
    if not binder.vocabulary:
        return prompt
    if prompt.strip():
        said, known = (binder.embed_text(words, "vision") for words in ([prompt], binder.vocabulary))
        fits = cosine_similarity(said, known, dim=-1).float().cpu()
        temperature = (1 - fits.max()).clamp_min(1e-4) / 2
        chances = (fits / temperature).softmax(0)
    else:
        chances = torch.ones(len(binder.vocabulary))
    drawn = int(torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(seed)))
    return prepend(binder.vocabulary[drawn], prompt)


def prepend(phrase: str, prompt: str) -> str:
    """The phrase first: text encoders give what comes first the most weight."""
    return ", ".join(dict.fromkeys(part for part in (phrase, prompt.strip()) if part))


def completion_notes(prompts: Sequence[str], completed: Sequence[str]) -> list[str]:
    """What to tell the user of prompts that were completed."""
    pairs = zip(prompts, completed, strict=True)
    return list(dict.fromkeys(f"prompt: read as '{whole}'" for prompt, whole in pairs if whole != prompt.strip()))
