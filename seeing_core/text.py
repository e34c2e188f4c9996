"""Prompts that do not fit: what was cut is said, never dropped in silence."""

from __future__ import annotations

import warnings


class PromptCut(UserWarning):
    """A prompt was longer than the model reads."""


def cut_warning(model: str, prompt: str, lost: str, limit: int) -> None:
    """Warns that `model` reads `limit` tokens only and that it did not see `lost`."""
    text = f"prompt: {model} reads {limit} tokens; this prompt is longer, and it did not see: '{lost.strip()}'"
    warnings.warn(text, PromptCut, stacklevel=3)
