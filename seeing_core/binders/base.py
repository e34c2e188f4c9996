"""What the aligner asks of a binder: a model with one embedding space for vision, audio and text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..media.resample import mono
from ..media.types import Segment, Video, Waveform

AUDIO_BATCH = 32  # segments of audio embedded at once as a target


class Embedded(NamedTuple):
    """Segments as a binder sees or hears them.

    clips: (..., S, D), each segment as a whole.  over_time: (..., S, T, D), moment by moment, evenly spread over each segment;
    None of a binder that cannot tell when.
    """

    clips: Tensor
    over_time: Tensor | None = None


class Binder(Protocol):
    """Embeddings are not normalised: the loss takes cosines.

    rate_hz: of the audio it hears.  tells_when: whether it embeds moment by moment as well.  vocabulary: phrases to put into
    words with what it sees or hears.  tower_names: its parts that a memory manager may move one by one.  visit: entered while a
    tower embeds something, so that a memory manager can bring it to the device and take it away.
    """

    name: str
    rate_hz: int
    tells_when: bool
    vocabulary: Sequence[str]
    tower_names: Sequence[str]
    visit: Callable[[str], AbstractContextManager[object]]

    def tower(self, name: str) -> nn.Module:
        """All that belongs to one tower, to be moved as a whole."""

    def clip_segments(self, duration_s: float) -> list[Segment]:
        """The segments in which the binder looks at something of this length, in seconds."""

    def unread(self, prompt: str) -> str:
        """The end of the prompt that the text tower does not read; empty when it reads all."""

    def embed_text(self, prompts: Sequence[str], beside: str) -> Tensor:
        """(len(prompts), D), to be compared with what is `beside` it: "vision" or "audio"."""

    def embed_video(self, video: Video, segments: Sequence[Segment]) -> Embedded:
        """clips (len(segments), D); memory does not grow with the number of segments."""

    def sample_frame_indices(self, times_s: Tensor, segments: Sequence[Segment]) -> tuple[list[int], Tensor]:
        """The frames it looks at of a video with these frame times, rising, and each segment's own positions in that list."""

    def preprocess_frames(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W), 0..1 -> (N, ...), each frame as the vision tower sees it; differentiable."""

    def embed_frames(self, frames: Tensor, index: Tensor) -> Embedded:
        """Preprocessed frames (B, n, ...), positions (S, k) in n -> clips (B, S, D); differentiable."""

    def embed_audio(self, samples: Tensor, segments: Sequence[Segment]) -> Embedded:
        """samples (B, n) at `rate_hz` -> clips (B, len(segments), D); differentiable."""


@torch.no_grad()
def embed_waveform(binder: Binder, waveform: Waveform, segments: Sequence[Segment]) -> Embedded:
    """clips (len(segments), D) of audio that takes no gradients: any rate, channels averaged, in batches of segments."""
    samples = mono(waveform, binder.rate_hz)[None]
    batches = [segments[i : i + AUDIO_BATCH] for i in range(0, len(segments), AUDIO_BATCH)]
    return together(lambda parts: torch.cat(parts, 1)[0], [binder.embed_audio(samples, batch) for batch in batches])


def at_moments(embedded: Tensor, count: int) -> Tensor:
    """(..., T, D) -> (..., count, D), evenly spread over the same time, linear between moments."""
    if embedded.shape[-2] == count:
        return embedded
    flat = embedded.flatten(0, -3).transpose(1, 2)
    return interpolate(flat, count, mode="linear").transpose(1, 2).unflatten(0, embedded.shape[:-2])


def together(function: Callable[[list[Tensor]], Tensor], parts: Sequence[Embedded]) -> Embedded:
    """`function` of all the parts' clips, and of all their moments."""
    over_time = [part.over_time for part in parts if part.over_time is not None]
    return Embedded(function([part.clips for part in parts]), function(over_time) if over_time else None)
