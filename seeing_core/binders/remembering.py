"""What a binder embedded before, by content: a run with another seed does not run the towers of its targets again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor

REMEMBERED = 512  # batches
Made = TypeVar("Made")


class Memory(Generic[Made]):
    """The last 512 results."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Made] = OrderedDict()

    def recall(self, what: str, inputs: Tensor, make: Callable[[Tensor], Made]) -> Made:
        """`make` of the inputs, run once for the same numbers.  what: tells apart what is made of the same numbers."""
        key = what + hashlib.sha256(inputs.cpu().contiguous().numpy().tobytes()).hexdigest()
        if key not in self._known:
            self._known[key] = make(inputs)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]
