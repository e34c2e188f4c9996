"""Less memory for more time: activations thrown away in the forward pass and computed again for the backward pass.

What decides is an argument that the forward pass fixes. The second computation runs in autograd's own thread on a GPU, where
a context variable would have its default value and other tensors would be saved than the first time.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpointed(function: Callable[..., Any], *inputs: Any, when: bool = True, **more: Any) -> Any:
    """function(*inputs, **more), checkpointed if `when` and if gradients are wanted at all."""
    if not when or not torch.is_grad_enabled():
        return function(*inputs, **more)
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False, **more)


class CheckpointedParts:
    """Those parts of a model that are of certain classes, made to checkpoint themselves while `on` is set.

    diffusers' own switch leaves attention and motion modules out, which hold most of the memory.
    """

    def __init__(self, model: nn.Module, classes: tuple[type[nn.Module], ...], *, on: bool) -> None:
        self.on = on
        for part in model.modules():
            if isinstance(part, classes):
                part.forward = self._wrapped(part)  # type: ignore[method-assign]

    def _wrapped(self, part: nn.Module) -> Callable[..., Any]:
        forward, owner = type(part).forward, weakref.ref(part)  # a strong reference would keep the weights until a collection

        def wrapped(*inputs: Any, **more: Any) -> Any:
            return checkpointed(forward, owner(), *inputs, when=self.on, **more)

        return wrapped

    @contextmanager
    def switched(self, on: bool) -> Iterator[None]:
        """Sets `on` for a while. To be entered inside the function that is checkpointed as a whole, by an argument of it: then
        its second run finds what the first one found, in whatever thread.
        """
        before, self.on = self.on, on
        try:
            yield
        finally:
            self.on = before
