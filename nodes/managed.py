"""Models in the care of ComfyUI's memory manager, and a way out of its inference mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

# What ComfyUI is asked to keep free for activations with gradients, rounded up: a window of 10 s of sound through VAE,
# vocoder and ImageBind; two frames of 512 x 512 through the VAE, and a checkpointed UNet pass of 16.
SOUND_BYTES = 3 * 2**30
PICTURE_BYTES = 6 * 2**30


@dataclass(frozen=True)
class Managed:
    """A model of the core, loaded to and freed from the device by ComfyUI like its own models."""

    patcher: ModelPatcher

    @classmethod
    def load(cls, loader: Callable[[], nn.Module]) -> Managed:
        """Runs `loader` where gradients can flow through what it makes."""
        with gradients_allowed():
            model = loader()
        return cls(ModelPatcher(model, management.get_torch_device(), management.unet_offload_device()))

    @property
    def model(self) -> nn.Module:
        return self.patcher.model


@contextmanager
def on_device(*models: Managed, activations_bytes: int = 0) -> Iterator[None]:
    """The models on the compute device, outside inference mode, for the time of one task."""
    with gradients_allowed():
        management.load_models_gpu([model.patcher for model in models], memory_required=activations_bytes)
        for model in models:
            _leave_inference(model.model)
        yield


@contextmanager
def gradients_allowed() -> Iterator[None]:
    """ComfyUI runs nodes in inference mode, which forbids autograd even under enable_grad."""
    with torch.inference_mode(False):
        yield


def _leave_inference(module: nn.Module) -> None:
    """Weights that were moved by ComfyUI in inference mode would break backward; their copies do not."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.is_inference():
                setattr(part, name, nn.Parameter(parameter.clone(), requires_grad=False))
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_inference():
                part._buffers[name] = buffer.clone()
