"""ImageBind (Girdhar et al., CVPR 2023) as a binder: fixed targets embedded once, clips in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..media.types import Segment, Video
from ..precision import to_fp32
from .base import Embedded
from .imagebind_inputs import RATE_HZ, audio_input, clip_segments, clips_of, sample_frame_indices, to_square
from .imagebind_package import imagebind_module, tokenizer
from .reading import segment_batches
from .remembering import Memory

TOWERS = ("vision", "audio", "text")
PARTS = ("preprocessors", "trunks", "heads", "postprocessors")
VISION_BATCH, TEXT_BATCH = 32, 64  # embedded at once


class ImageBind(nn.Module):
    """The vision, audio and text towers. Embeddings come after the post-processors, as the paper's code takes them.

    Its segments last a second and are embedded as a whole, so it cannot tell when within one something happens.
    """

    name = "ImageBind"
    towers: Any
    rate_hz = RATE_HZ
    tells_when = False
    tower_names = TOWERS
    visit: Callable[[str], AbstractContextManager[object]] = staticmethod(lambda tower: nullcontext())

    def __init__(self, towers: nn.Module, vocabulary: Sequence[str] = ()) -> None:
        super().__init__()
        self.towers, self.vocabulary = towers, tuple(vocabulary)
        self.eval().requires_grad_(False)
        self._tokenizer = tokenizer()
        self._memory: Memory[Tensor] = Memory()

    @property
    def precision(self) -> torch.dtype:
        """Of what it is given and gives: single, where the weights are in half."""
        return torch.promote_types(next(self.towers.parameters()).dtype, torch.float32)

    def tower(self, name: str) -> nn.ModuleList:
        return nn.ModuleList(getattr(self.towers, f"modality_{part}")[name] for part in PARTS)

    def clip_segments(self, duration_s: float) -> list[Segment]:
        return clip_segments(duration_s)

    def unread(self, prompt: str) -> str:
        """What comes after the 75 tokens that ImageBind reads."""
        ids = self._tokenizer.encode(prompt)
        return self._tokenizer.decode(ids[self._tokenizer.context_length - 2 :]).strip()

    @torch.no_grad()
    def embed_text(self, prompts: Sequence[str], beside: str) -> Tensor:
        """(len(prompts), D), in batches; the same beside vision and audio."""
        tokens = torch.stack([self._tokenizer(prompt) for prompt in prompts])  # (N, 77)
        return torch.cat([self._remembered("text", batch) for batch in tokens.split(TEXT_BATCH)])

    @torch.no_grad()
    def embed_video(self, video: Video, segments: Sequence[Segment]) -> Embedded:
        """clips (len(segments), D), in batches of 32 segments; the video's frames are read once, in order."""
        wanted, index = sample_frame_indices(video.times_s, segments)
        embedded = [
            (numbers, self._remembered("vision", clips_of(frames, own)[0]))
            for numbers, frames, own in segment_batches(video, wanted, index, VISION_BATCH, to_square)
        ]
        order = torch.tensor([number for numbers, _ in embedded for number in numbers])
        return Embedded(torch.cat([batch for _, batch in embedded])[order.argsort()])

    def sample_frame_indices(self, times_s: Tensor, segments: Sequence[Segment]) -> tuple[list[int], Tensor]:
        return sample_frame_indices(times_s, segments)

    def preprocess_frames(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W), 0..1 -> (N, 3, 224, 224), what the vision tower sees of each frame; differentiable."""
        return to_square(frames)

    def embed_frames(self, frames: Tensor, index: Tensor) -> Embedded:
        """Preprocessed frames (B, n, 3, 224, 224), positions (S, 2) in n -> clips (B, S, D), in one batch; differentiable."""
        clips = clips_of(frames, index)
        return Embedded(self._forward("vision", clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))

    def embed_audio(self, samples: Tensor, segments: Sequence[Segment]) -> Embedded:
        """samples (B, n) at 16 kHz -> clips (B, len(segments), D), of all samples in one batch; differentiable."""
        # Half precision is too little for the powers in a spectrum.
        mels = audio_input(samples.to(self.precision), segments)  # (B, S, 1, 128, 204)
        embeddings = self._forward("audio", mels.flatten(0, 1))
        return Embedded(embeddings.unflatten(0, mels.shape[:2]))

    def _forward(self, modality: str, inputs: Tensor) -> Tensor:
        if inputs.ndim == 5:  # (S, 3, 2, H, W): the model would average S as the clips of one video
            inputs = inputs.unsqueeze(1)
        with self.visit(modality):
            weights = next(self.towers.modality_trunks[modality].parameters())
            inputs = inputs.to(weights.device, weights.dtype if inputs.is_floating_point() else None)
            return to_fp32(self.towers({modality: inputs})[modality])

    def _remembered(self, modality: str, inputs: Tensor) -> Tensor:
        return self._memory.recall(modality, inputs, lambda given: self._forward(modality, given))


def build(config: dict[str, object]) -> nn.Module:
    """An ImageBindModel with these constructor arguments, weights not yet loaded."""
    return imagebind_module("models.imagebind_model").ImageBindModel(**config)


class SchedulesOnHost(TorchFunctionMode):
    """Real numbers for what a constructor reads off tensors, its drop-path rates, where all else is without memory."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return function(*args, **(kwargs or {}) | ({"device": "cpu"} if function is torch.linspace else {}))


def blank_towers(config: dict[str, object]) -> nn.Module:
    """Likewise, with the three towers that are used and no memory for their weights."""
    with torch.device("meta"), SchedulesOnHost():
        model = build(config)
    for part in PARTS:
        modules = getattr(model, f"modality_{part}")
        for unused in set(modules) - set(TOWERS):
            del modules[unused]
    return model
