"""Prompts as tokens, and what of a prompt a text encoder does not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def tokens(tokenizer: Any, prompts: Sequence[str]) -> Any:
    """The prompts as a transformers tokenizer's batch of tensors, all of its full length, the longer ones cut."""
    return tokenizer(
        list(prompts), padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )


def unread_part(tokenizer: Any, prompt: str) -> str:
    """The end of the prompt that `tokens` cuts off; empty when all of it is read."""
    ids = tokenizer(prompt).input_ids
    limit = tokenizer.model_max_length
    return tokenizer.decode(ids[limit - 1 : -1]).strip() if len(ids) > limit else ""
