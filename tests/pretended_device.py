"""A second device that is none, so that what only a GPU shows is seen without one: tensors on the wrong device, and waits for the device.

Tensors of `DEVICE` keep their data on the CPU and say that they lie elsewhere. Operations between the two fail as on CUDA (a number
without axes may come from the CPU, and so may an index), and whatever brings values from one to the other is written down in `waits`: a GPU
would stop the program there until it has caught up. To be used in a process of its own, for it takes a place in torch.

    with pretended() as waits:
        model.to(DEVICE)
        ...
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"
_setup_privateuseone_for_python_backend(NAME)
DEVICE = torch.device(NAME, 0)
_MODULE: Any = getattr(torch, NAME)
_MODULE.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]  # checkpoints ask for it
_MODULE.is_autocast_enabled = lambda: False
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
_waits: list[str] = []


class Pretended(Tensor):
    """A tensor of `DEVICE`.  data_here: its values."""

    data_here: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor) -> Pretended:
        made = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )
        made.data_here = values
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Pretended({self.data_here!r})"

    def tolist(self) -> Any:
        _wait("numbers are read")
        return self.data_here.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees what no tensor of the device takes part in: makers of tensors, and moves to the device."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})


class _Making(TorchFunctionMode):
    """What C++ does beneath the subclass: tensors made of Python's numbers for the device, whose values are copied to it; a
    short-time Fourier transform, which transposes its result in place, so that the subclass would not learn of its shape."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        wanted = kwargs.get("device")
        if function in (torch.tensor, torch.as_tensor) and wanted is not None and torch.device(wanted).type == NAME:
            return function(*args, **(kwargs | {"device": "cpu"})).to(DEVICE)
        if function is torch.stft and isinstance(args[0], Pretended):
            return _spectrum(*args, kwargs["hop_length"], kwargs["window"])
        return function(*args, **kwargs)


def _spectrum(samples: Tensor, size: int, hop: int, window: Tensor) -> Tensor:
    """`torch.stft` as it is by default: (B, n) -> (B, size // 2 + 1, T)."""
    frames = torch.nn.functional.pad(samples[:, None], (size // 2, size // 2), mode="reflect")[:, 0].unfold(-1, size, hop)
    return torch.fft.rfft(frames * window).transpose(1, 2)


@contextmanager
def pretended() -> Iterator[list[str]]:
    """Within, `DEVICE` can be used. Gives the waits for it so far: where in the code each was."""
    _waits.clear()
    with _Mode(), _Making():
        yield _waits


def _run(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = operation._schema.name.partition("::")[2]
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    wanted = kwargs.get("device")
    if name == "_to_copy":
        return _moved(operation, args, kwargs, wanted if wanted is not None else args[0].device)
    if name == "copy_":
        return _copied_into(args[0], args[1])
    if name == "_local_scalar_dense" and there:
        _wait("a number is read")
    elif name in ("nonzero", "masked_select", "unique_consecutive", "_unique2") and there:
        _wait(f"{name}: the size of its result is not known before")
    _check_devices(name, tensors, there)
    generator = kwargs.get("generator")
    if generator is not None and wanted is not None and torch.device(wanted).type == NAME:
        raise RuntimeError(f"{name}: a generator of the CPU for a tensor of {DEVICE}")
    result = operation(*_here(args), **_here(kwargs))
    if there or (wanted is not None and torch.device(wanted).type == NAME):
        written = _written(operation, args)
        return written if written is not None and isinstance(result, Tensor) else tree_map(_there, result)
    return result


def _moved(operation: Any, args: Any, kwargs: dict[str, Any], target: torch.device) -> Tensor:
    values = operation(*_here(args), **_here(kwargs))
    if target.type == NAME:
        if not isinstance(args[0], Pretended):
            _wait("values are copied from the CPU")
        return Pretended(values)
    if isinstance(args[0], Pretended):
        _wait("values are copied to the CPU")
    return values


def _copied_into(to: Tensor, source: Tensor) -> Tensor:
    if isinstance(source, Pretended) and not isinstance(to, Pretended):
        _wait("values are copied to the CPU")
    _here(to).copy_(_here(source))
    return to


def _check_devices(name: str, tensors: Sequence[Tensor], there: Sequence[Tensor]) -> None:
    if not there:
        return
    strangers = [tensor for tensor in tensors if not isinstance(tensor, Pretended)]
    if name in INDEXING:
        if any(tensor.dtype == torch.bool for tensor in tensors[1:]):
            _wait("a mask is an index: the size of the result is not known before")
        if any(tensor.ndim for tensor in strangers):
            _wait("an index comes from the CPU")
        return
    for tensor in strangers:
        if tensor.ndim:
            raise RuntimeError(f"{name}: a tensor {tuple(tensor.shape)} of the CPU beside one of {DEVICE}")


def _written(operation: Any, args: Any) -> Tensor | None:
    """The argument that the operation writes into, if any."""
    for given, expected in zip(args, operation._schema.arguments, strict=False):
        if expected.alias_info is not None and expected.alias_info.is_write and isinstance(given, Pretended):
            return given
    return None


def _here(value: Any) -> Any:
    def one(leaf: Any) -> Any:
        if isinstance(leaf, Pretended):
            return leaf.data_here
        if isinstance(leaf, torch.device) and leaf.type == NAME:
            return torch.device("cpu")
        return leaf

    return tree_map(one, value)


def _there(leaf: Any) -> Any:
    return Pretended(leaf) if isinstance(leaf, Tensor) and not isinstance(leaf, Pretended) else leaf


def _wait(why: str) -> None:
    frame = sys._getframe(1)
    while frame is not None and not any(room in frame.f_code.co_filename for room in ("/seeing_core/", "/nodes/")):
        frame = frame.f_back
    place = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if frame is not None else "elsewhere"
    _waits.append(f"{place}: {why}")


def _below(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """What C++ asks the device for beneath the subclass, such as the tensor that it makes of a list used as an index."""
    return _run(operation, args, kwargs)


_LIBRARY = torch.library.Library("_", "IMPL")
_LIBRARY.fallback(_below, "PrivateUse1")
