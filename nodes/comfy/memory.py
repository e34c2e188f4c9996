"""Models in the care of ComfyUI's memory manager, and a way out of its inference mode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import nn

from ...seeing_core.binders.imagebind import TOWERS, ImageBind
from ...seeing_core.errors import InputError
from ...seeing_core.weights.files import first_line
from ...seeing_core.generators.windows import thrifty

# What ComfyUI is asked to keep free for activations with gradients, rounded up: a window of 10 s of sound through VAE,
# vocoder and ImageBind; two frames of 512 x 512 through the VAE, and a checkpointed UNet pass of 16.
SOUND_BYTES = 3 * 2**30
PICTURE_BYTES = 6 * 2**30
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Made = TypeVar("Made")


def precision(remark: str) -> io.Input:
    """The precision of a model's weights."""
    return io.Combo.Input(
        "precision", options=["auto", *DTYPES], default="auto", optional=True, advanced=True,
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

    model: nn.Module
    patchers: dict[str, ModelPatcher]

    @classmethod
    def load(cls, loader: Callable[[], nn.Module]) -> ModelHandle:
        """Runs `loader` where gradients can flow through what it makes."""
        with enable_autograd():
            model = loader()
        return cls(model, {"": _patcher(model)})


@dataclass(frozen=True)
class BinderHandle(ModelHandle):
    """ImageBind, each tower by itself: only those in use are on the device."""

    model: ImageBind

    @classmethod
    def load(cls, loader: Callable[[], ImageBind]) -> BinderHandle:
        with enable_autograd():
            model = loader()
        return cls(model, {tower: _patcher(model.tower(tower)) for tower in TOWERS})


def _patcher(model: nn.Module) -> ModelPatcher:
    return ModelPatcher(model, management.get_torch_device(), management.unet_offload_device())


@contextmanager
def on_device(*models: ModelHandle, activations_bytes: int = 0, stays: Sequence[str] = TOWERS) -> Iterator[None]:
    """The models on the compute device, outside inference mode, for the time of one task.

    stays: the binder's towers that are used again and again. They come when first used; others leave again as soon as they
    have embedded something.
    """
    binders = [model for model in models if isinstance(model, BinderHandle)]
    whole = [patcher for model in models if model not in binders for patcher in model.patchers.values()]
    with enable_autograd():
        _bring(whole, activations_bytes)
        for binder in binders:
            binder.model.visit = _visits(binder, whole, activations_bytes, stays)
        try:
            yield
        finally:
            for binder in binders:
                del binder.model.visit


def _visits(
    binder: BinderHandle, others: Sequence[ModelPatcher], activations_bytes: int, stays: Sequence[str]
) -> Callable[[str], object]:
    here: dict[str, ModelPatcher] = {}

    @contextmanager
    def visit(tower: str) -> Iterator[None]:
        if tower not in here:
            here[tower] = binder.patchers[tower]
            _bring([*others, *here.values()], activations_bytes)
        yield
        if tower not in stays:
            management.unload_model_and_clones(here.pop(tower))

    return visit


def _bring(patchers: Sequence[ModelPatcher], activations_bytes: int) -> None:
    """Whole onto the device, ComfyUI freeing others first. Its streaming of single layers knows only its own layers."""
    management.load_models_gpu(list(patchers), memory_required=activations_bytes, force_full_load=True)
    for patcher in patchers:
        if patcher.loaded_size() < patcher.model_size():  # --novram leaves other layers than its own behind
            patcher.load(patcher.load_device, full_load=True)
        _clone_inference_tensors(patcher.model)


def retry_on_oom(work: Callable[[], Made], lower: str) -> Made:
    """work(), and when memory runs out once more in smaller slices, all other models freed.

    lower: the inputs that make it smaller. Raises InputError naming them when that is not enough either.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        logging.warning("Out of memory (%s): trying again in smaller slices", first_line(error))
    management.unload_all_models()
    management.soft_empty_cache()
    try:
        with thrifty():
            return work()
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        management.unload_all_models()
        management.soft_empty_cache()
        raise InputError("memory", f"a task too large for this machine ({first_line(error)})", "one that fits",
                         f"Lower {lower}, choose a smaller precision in the loaders, or close other programs.") from error


def _out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, MemoryError) or management.is_oom(error) or "can't allocate memory" in text or (
        "not enough memory" in text)


@contextmanager
def enable_autograd() -> Iterator[None]:
    """ComfyUI runs nodes in inference mode, which forbids autograd even under enable_grad."""
    with torch.inference_mode(False):
        yield


def _clone_inference_tensors(module: nn.Module) -> None:
    """Weights that were moved by ComfyUI in inference mode would break backward; their copies do not."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.is_inference():
                setattr(part, name, nn.Parameter(parameter.clone(), requires_grad=False))
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_inference():
                part._buffers[name] = buffer.clone()
