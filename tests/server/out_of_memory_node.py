"""Custom nodes for a test: they pass a model on, whose VAE then says in the log when it decodes for a gradient, and runs out of
memory the second time if asked to. A test copies this file into ComfyUI's custom_nodes."""

from __future__ import annotations

from typing import Any

import torch

DECODED = "test: the VAE decoded with gradients"
FAILS_AT = 2
hooks: dict[int, Any] = {}  # of each model, so that the next run does not add another


class OutOfMemory:
    FUNCTION, CATEGORY = "prepare", "test"

    def prepare(self, model: Any, fails: bool) -> tuple[Any]:
        conv = model.model.vae.decoder.conv_in
        calls = []

        def hook(*_: Any) -> None:
            if not torch.is_grad_enabled():
                return
            print(DECODED, flush=True)
            calls.append(None)
            if fails and len(calls) == FAILS_AT:
                raise torch.OutOfMemoryError("CUDA out of memory. As a test.")

        if id(conv) in hooks:
            hooks[id(conv)].remove()
        hooks[id(conv)] = conv.register_forward_hook(hook)
        return (model,)


class TestAudioModelOutOfMemory(OutOfMemory):
    RETURN_TYPES = ("SEEING_AUDIO_MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"model": ("SEEING_AUDIO_MODEL",), "fails": ("BOOLEAN", {"default": False})}}


class TestVideoModelOutOfMemory(OutOfMemory):
    RETURN_TYPES = ("SEEING_VIDEO_MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"model": ("SEEING_VIDEO_MODEL",), "fails": ("BOOLEAN", {"default": False})}}


NODE_CLASS_MAPPINGS = {one.__name__: one for one in (TestAudioModelOutOfMemory, TestVideoModelOutOfMemory)}
