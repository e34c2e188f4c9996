"""What a language model writes, made fit for a prompt: no markup, no special tokens, one line."""

from __future__ import annotations

import re
from collections.abc import Sequence

THOUGHTS = re.compile(r"^.*</think>", re.DOTALL)  # models that reason aloud; the opening mark may be in the question
# Places in the picture, as Qwen-VL and its successors write them; one that the token limit cut has no end.
PLACES = re.compile(r"<(box|quad)>.*?(</\1>|$)|<\|(box|quad)_start\|>.*?(<\|\3_end\|>|$)", re.DOTALL)
MARKS = re.compile(r"</?(ref|img|box|quad)>|<\|[^<>|]*\|>")


def strip_markup(text: str, special: Sequence[str] = ()) -> str:
    """`text` in one line without markup: named things keep their name, `<box>` goes with its numbers.

    special: the tokenizer's own special tokens, removed too.
    """
    text = MARKS.sub(" ", PLACES.sub(" ", THOUGHTS.sub("", text)))
    for token in special:
        text = text.replace(token, " ")
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return re.sub(r"\s+([.,;:!?])", r"\1", " ".join(text.split()))


def joined(captions: Sequence[str]) -> str:
    """Captions as one text: each a sentence, equal and empty ones left out."""
    different = [caption for caption in dict.fromkeys(captions) if caption]
    if len(different) < 2:
        return "".join(different)
    return " ".join(caption if caption[-1] in ".!?" else caption + "." for caption in different)
