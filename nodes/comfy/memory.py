"""Models under ComfyUI's memory manager, retries when memory runs out, and a way out of its inference mode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import nn

from ...seeing_core.binders.base import Binder
from ...seeing_core.errors import InputError
from ...seeing_core.weights.files import first_line

# What ComfyUI is asked to keep free for activations with gradients, rounded up.
GIB = 2**30
AUDIO_BYTES, AUDIO_S = 3 * GIB, 10.24  # a window of 10.24 s through VAE, vocoder and binder
VIDEO_BYTES, VIDEO_PIXELS = 6 * GIB, 16 * 512 * 512  # 16 frames of 512 x 512 through a checkpointed UNet, two through the VAE
LEAST_BYTES = GIB // 2
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Made = TypeVar("Made")


def audio_bytes(duration_s: float, candidates: int) -> int:
    """For guided audio of this length: that of its longest window."""
    return max(LEAST_BYTES, round(AUDIO_BYTES * min(1.0, duration_s / AUDIO_S) * candidates))


def video_bytes(handle: ModelHandle, width: int, height: int, frames: float, candidates: int) -> int:
    """For guided video of this size in pixels (0: the model's own): that of its longest window, of 16 frames."""
    side = handle.model.native_side
    pixels = (width or side) * (height or side) * min(max(frames, 1.0), 16.0)
    return max(LEAST_BYTES, round(VIDEO_BYTES * pixels / VIDEO_PIXELS * candidates))


def precision(remark: str) -> io.Input:
    """The precision of a model's weights."""
    return io.Combo.Input(
        "precision",
        options=["auto", *DTYPES],
        default="auto",
        optional=True,
        advanced=True,
        tooltip="Of the weights. 'auto': bf16 where ComfyUI finds that the device is good at it, otherwise fp32; never "
        "fp16, in which small gradients of the alignment vanish. " + remark,
    )


def weights_dtype(choice: str) -> torch.dtype:
    """What 'auto' means on this machine, or the precision chosen."""
    if choice != "auto":
        return DTYPES[choice]
    device = management.get_torch_device()
    return management.unet_dtype(device, supported_dtypes=[torch.bfloat16, torch.float32])


@dataclass(frozen=True)
class ModelHandle:
    """A model of the core, loaded to and freed from the device by ComfyUI like its own models."""

    model: Any
    patchers: dict[str, ModelPatcher]

    @classmethod
    def load(cls, loader: Callable[[], nn.Module], managed: Callable[[Any], nn.Module] = lambda model: model) -> ModelHandle:
        """Runs `loader` where gradients can flow through what it makes.  managed: what ComfyUI is given to load and free."""
        with enable_autograd():
            model = loader()
            return cls(model, {"": _patcher(managed(model))})


@dataclass(frozen=True)
class BinderHandle(ModelHandle):
    """A binder, each tower by itself: only those in use are on the device."""

    @classmethod
    def load(cls, loader: Callable[[], Any]) -> BinderHandle:
        with enable_autograd():
            model: Binder = loader()
        return cls(model, {tower: _patcher(model.tower(tower)) for tower in model.tower_names})


class WholePatcher(ModelPatcher):
    """Loads all layers or none: ComfyUI can stream only layers of its own."""

    def load(self, *inputs: Any, **more: Any) -> None:
        super().load(*inputs, **(more | {"lowvram_model_memory": 0, "full_load": True}))


def _patcher(model: nn.Module) -> ModelPatcher:
    return WholePatcher(model, management.get_torch_device(), management.unet_offload_device())


@contextmanager
def on_device(*handles: ModelHandle, activations_bytes: int = 0, keep: Sequence[str] | None = None) -> Iterator[None]:
    """The models on the compute device, outside inference mode, for the time of one task.

    keep: the binder's towers that are used again and again; None is all. They come when first used; others leave again as soon
    as they have embedded something.
    """
    binders = [handle for handle in handles if isinstance(handle, BinderHandle)]
    whole = [patcher for handle in handles if handle not in binders for patcher in handle.patchers.values()]
    with enable_autograd():
        _load(whole, activations_bytes)
        for binder in binders:
            binder.model.visit = _tower_on_device(binder, whole, activations_bytes, keep)
        try:
            yield
        finally:
            for binder in binders:
                del binder.model.visit


def _tower_on_device(
    binder: BinderHandle, others: Sequence[ModelPatcher], activations_bytes: int, keep: Sequence[str] | None
) -> Callable[[str], AbstractContextManager[None]]:
    loaded: dict[str, ModelPatcher] = {}

    @contextmanager
    def visit(tower: str) -> Iterator[None]:
        if tower not in loaded:
            _load([*others, *loaded.values(), binder.patchers[tower]], activations_bytes)
            loaded[tower] = binder.patchers[tower]
        try:
            yield
        finally:  # after a cancel or an error as well
            if keep is not None and tower not in keep:
                management.unload_model_and_clones(loaded.pop(tower))

    return visit


def _load(patchers: Sequence[ModelPatcher], activations_bytes: int) -> None:
    """Whole onto the device, ComfyUI freeing others first. Its streaming of single layers knows only its own layers."""
    management.load_models_gpu(list(patchers), memory_required=activations_bytes, force_full_load=True)
    load_whole(patchers)


def load_whole(patchers: Sequence[ModelPatcher]) -> None:
    """What ComfyUI left behind of models that it has loaded: --novram leaves other layers than its own."""
    for patcher in patchers:
        if patcher.loaded_size() < patcher.model_size():
            patcher.load(patcher.load_device, full_load=True)
        without_inference_tensors(patcher.model)


def free_all() -> None:
    """Every model off the device."""
    management.unload_all_models()
    management.soft_empty_cache()


def retry_on_oom(work: Callable[[bool], Made], lower: str, free: Callable[[], None] = free_all) -> Made:
    """work(False), and when memory runs out work(True), which is to save memory, after `free`.

    lower: the inputs that make it smaller. Raises InputError naming them when that is not enough either.
    """
    try:
        return work(False)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        logging.warning("Out of memory (%s): trying again in a slower way that needs less", first_line(error))
    free()
    try:
        return work(True)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        free()
        raise InputError(
            "memory",
            f"a task too large for this machine ({first_line(error)})",
            "one that fits",
            f"Lower {lower}, choose a smaller precision in the loaders, or close other programs.",
        ) from error


def _out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or management.is_oom(error)
        or "can't allocate memory" in text
        or ("not enough memory" in text)
    )


@contextmanager
def enable_autograd() -> Iterator[None]:
    """ComfyUI runs nodes in inference mode, which forbids autograd even under enable_grad."""
    with torch.inference_mode(False):
        yield


def without_inference_tensors(module: nn.Module) -> None:
    """Weights that were moved by ComfyUI in inference mode would break backward; their copies do not."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.is_inference():
                setattr(part, name, nn.Parameter(parameter.clone(), requires_grad=False))
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_inference():
                part._buffers[name] = buffer.clone()
