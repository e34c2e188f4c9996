"""What a piece of work costs without running it for real: its FLOPs and its peak memory, part by part, on the meta device.

FLOPs are those of torch.utils.flop_counter: matrix products, convolutions and attention, a multiplication and an addition
counting as two; a fused attention's backward pass counts what it computes again. Memory is that of all tensors alive at
once, as long as they were made during the work: what kernels hold while they run is not in it.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop

REST = "rest"
aten = torch.ops.aten
FLOPS = flop_registry | {
    aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop,
}


@dataclass
class Cost:
    """flops, peak_bytes: of each part, in the order in which they first ran.  peak_bytes: alive while that part runs."""

    flops: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    peak_bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def total(self) -> int:
        return sum(self.flops.values())

    @property
    def peak(self) -> int:
        return max(self.peak_bytes.values(), default=0)


def count(work: Callable[[], Any], parts: Mapping[str, Iterable[nn.Module]]) -> Cost:
    """The cost of work(), which may compute on meta tensors, forward and backward."""
    with _fused_attention(), _Counter(parts) as counter:
        work()
    return counter.cost


class _Counter(TorchDispatchMode):
    """An operator belongs to the part whose weights it uses; one without weights to the part that ran last.

    Unlike the hooks of torch's own module tracker, that stays right when checkpointing runs a module again within a
    backward pass.
    """

    def __init__(self, parts: Mapping[str, Iterable[nn.Module]]) -> None:
        super().__init__()
        self.cost, self.part, self.alive_bytes = Cost(), REST, 0
        self.known: set[int] = set()
        self.owners = {
            weight.untyped_storage()._cdata: name
            for name, modules in parts.items()
            for module in modules
            for weight in module.parameters()
        }

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        given, structure = tree_flatten((args, kwargs))
        tensors = [leaf for leaf in given if isinstance(leaf, Tensor)]
        for tensor in tensors:
            self.part = self.owners.get(tensor.untyped_storage()._cdata, self.part)
        inputs = {tensor.untyped_storage()._cdata for tensor in tensors}
        out = _returned(func, given, structure, inputs)
        packet = func.overloadpacket
        if packet in FLOPS:
            self.cost.flops[self.part] += FLOPS[packet](*args, **kwargs, out_val=out)
        for made in tree_leaves(out):
            if isinstance(made, Tensor):
                self._hold(made.untyped_storage(), inputs)
        peak = self.cost.peak_bytes
        peak[self.part] = max(peak[self.part], self.alive_bytes)
        return out

    def _hold(self, storage: torch.UntypedStorage, inputs: set[int]) -> None:
        """Counts the storage until it is freed, unless it is an input's (a view, an operation in place)."""
        key, size = storage._cdata, storage.nbytes()
        if key in self.known or key in inputs:
            return

        def freed() -> None:
            self.known.discard(key)
            self.alive_bytes -= size

        self.known.add(key)
        self.alive_bytes += size
        weakref.finalize(storage, freed).atexit = False


_known_returns: dict[tuple[Any, ...], tuple[list[Any], TreeSpec]] = {}


def _returned(func: Any, given: list[Any], structure: TreeSpec, inputs: Container[int]) -> Any:
    """What func returns. On the meta device that is shapes that follow from shapes, so they are remembered: many kernels there are
    chains of Python functions, which take most of the time.

    given, structure: its arguments, flattened.  inputs: the storages of the tensors among them, which what is remembered does not
    share.
    """

    def called() -> Any:
        args, kwargs = tree_unflatten(given, structure)
        return func(*args, **kwargs)

    if not all(leaf.is_meta for leaf in given if isinstance(leaf, Tensor)):
        return called()
    key = (func, structure, *(_layout(leaf) if isinstance(leaf, Tensor) else (type(leaf), leaf) for leaf in given))
    if key in _known_returns:
        leaves, returned = _known_returns[key]
        return tree_unflatten([_empty(*leaf) if isinstance(leaf, tuple) else leaf for leaf in leaves], returned)
    out = called()
    leaves, returned = tree_flatten(out)
    made = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if made and all(leaf.is_meta and leaf.untyped_storage()._cdata not in inputs for leaf in made):
        _known_returns[key] = [_layout(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves], returned
    return out


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype


def _empty(shape: torch.Size, stride: Sequence[int], dtype: torch.dtype) -> Tensor:
    return torch.empty_strided(shape, stride, dtype=dtype, device="meta")


@contextmanager
def _fused_attention() -> Iterator[None]:
    """Attention on the meta device as its fused kernel, which keeps no (n, n) matrix: what real devices choose."""
    chosen = nn.functional.scaled_dot_product_attention

    def attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if query.device.type != "meta":
            return chosen(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
        fused = aten._scaled_dot_product_flash_attention_for_cpu
        return fused(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]

    nn.functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = chosen
