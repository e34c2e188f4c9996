"""Prompts as tokens. One that does not fit is cut, and what was cut is said, never dropped in silence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any


class PromptCut(UserWarning):
    """A prompt was longer than the model reads."""


def cut_warning(model: str, prompt: str, lost: str, limit: int) -> None:
    """Warns that `model` reads `limit` tokens only and that it did not see `lost`."""
    text = f"prompt: {model} reads {limit} tokens; this prompt is longer, and it did not see: '{lost.strip()}'"
    warnings.warn(text, PromptCut, stacklevel=3)


def tokens(tokenizer: Any, prompts: Sequence[str], model: str) -> Any:
    """The prompts as a transformers tokenizer's batch of tensors, all of its full length; warns of what it cut."""
    limit = tokenizer.model_max_length
    for prompt in prompts:
        ids = tokenizer(prompt).input_ids
        if len(ids) > limit:
            cut_warning(model, prompt, tokenizer.decode(ids[limit - 1 : -1]), limit - 2)
    return tokenizer(list(prompts), padding="max_length", max_length=limit, truncation=True, return_tensors="pt")
