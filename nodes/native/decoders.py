"""What a native model's latents decode to, answering the protocols that the core asks of its own generators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.generators.base import onset_hop, waveform_onset_features
from ...seeing_core.generators.checkpointing import checkpointed
from ...seeing_core.generators.windows import Window, blend, split
from ...seeing_core.media.types import DURATION_RANGE_S, Segment
from .vae import NativeVae

WINDOW_S, OVERLAP_S = 10.24, 1.28  # long audio is decoded and compared in windows
PROBE = 8, 16  # latent frames: two lengths tell how many samples a latent frame is
# Latent frames of a causal video VAE that are decoded at once, and those before them that they are decoded with: what lies further back
# hardly shows.
CHUNK, CONTEXT = 4, 2
ToVae = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class NativeAudio:
    """Audio latents (B, C, ...) with their VAE: an `AudioDecoder`.

    length: latent frames.  per_frame, samples: of one latent frame, and of all.  to_vae: from the sampler's scale of latents to
    the VAE's.  low_memory: activations are computed twice.
    """

    vae: NativeVae
    length: int
    per_frame: int
    samples: int
    to_vae: ToVae
    low_memory: bool = False

    @classmethod
    def of(cls, vae: NativeVae, shape: Sequence[int], to_vae: ToVae) -> NativeAudio:
        """For latents of this shape. Decodes two short ones. Raises InputError for a sound shorter than can be compared."""
        per_frame, offset = samples_per_frame(vae, shape)
        length = shape[vae.time_axis]
        made = cls(vae, length, per_frame, length * per_frame + offset, to_vae)
        if made.duration_s < DURATION_RANGE_S[0]:
            raise InputError("latent", f"{made.duration_s:.2f} s of sound", f"{DURATION_RANGE_S[0]:g} s or more")
        return made

    @property
    def rate_hz(self) -> int:
        return self.vae.rate_hz

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate_hz

    @cached_property
    def windows(self) -> list[Window]:
        """In latent frames."""
        size, overlap = (round(s * self.rate_hz / self.per_frame) for s in (WINDOW_S, OVERLAP_S))
        return split(self.length, size, overlap)

    @cached_property
    def windows_s(self) -> list[Segment]:
        ends = [min(window.stop * self.per_frame, self.samples) for window in self.windows]
        return [
            (window.start * self.per_frame / self.rate_hz, end / self.rate_hz)
            for window, end in zip(self.windows, ends, strict=True)
        ]

    @property
    def onset_step_s(self) -> float:
        return onset_hop(self.rate_hz) / self.rate_hz

    @property
    def onset_start_s(self) -> float:
        return self.onset_step_s

    def decode(self, x0: Tensor, windows: Sequence[int]) -> Tensor:
        """(B, C, ...) -> the waveforms of these windows, (B, len(windows), channels, n); differentiable."""
        again = len(windows) > 1 or self.low_memory
        parts = [self.windows[number] for number in windows]
        pieces = [x0.narrow(self.vae.time_axis, part.start, part.stop - part.start) for part in parts]
        return torch.stack([checkpointed(self._waveform, piece, when=again) for piece in pieces], 1)

    def _waveform(self, x0: Tensor) -> Tensor:
        """(B, channels, n). Some VAEs fill up their latents and decode to more."""
        waveform = self.vae.decode(self.to_vae(x0))
        frames = x0.shape[self.vae.time_axis]
        waveform = waveform[..., : frames * self.per_frame + self.samples - self.length * self.per_frame]
        return waveform[:, None] if waveform.ndim == 2 else waveform

    def waveform(self, decoded: Tensor, window: int) -> Tensor:
        """It is the decoded window itself, (B, channels, n)."""
        return decoded

    def onset_features(self, decoded: Tensor) -> Tensor:
        """(B, windows, channels, n) -> (B, T, 64)."""
        windows = [window.scaled(self.per_frame) for window in self.windows]
        if len(windows) == 1:
            return waveform_onset_features(decoded[:, 0], self.rate_hz)
        whole = blend(windows, lambda window: decoded[:, windows.index(window)], dim=-1)
        return waveform_onset_features(whole[..., : self.samples], self.rate_hz)

    def sparing(self) -> NativeAudio:
        return replace(self, low_memory=True)


def samples_per_frame(vae: NativeVae, shape: Sequence[int]) -> tuple[int, int]:
    """Samples that each latent frame decodes to, and how many more (or fewer) all of them do; found by decoding two silences.

    shape: of a latent of any length.
    """
    lengths = []
    for frames in PROBE:
        probe = list(shape)
        probe[0], probe[vae.time_axis] = 1, frames
        with torch.no_grad():
            lengths.append(vae.decode(torch.zeros(probe, device=vae.vae.device)).shape[-1])
    per_frame = (lengths[1] - lengths[0]) // (PROBE[1] - PROBE[0])
    return per_frame, lengths[0] - PROBE[0] * per_frame


@dataclass(frozen=True)
class NativeVideo:
    """Latents of pictures (B, C, H, W), each a video of one frame, or of videos (B, C, T, H, W), with their VAE: a `VideoDecoder`.

    length: latent frames.  frames: pictures.  to_vae: from the sampler's scale of latents to the VAE's.
    low_memory: fewer frames at once.
    """

    vae: NativeVae
    length: int
    frames: int
    fps: float
    to_vae: ToVae
    low_memory: bool = False

    @classmethod
    def of(cls, vae: NativeVae, shape: Sequence[int], to_vae: ToVae, fps: float) -> NativeVideo:
        length = shape[2] if len(shape) == 5 else 1
        return cls(vae, length, _frames(vae, length), fps, to_vae)

    def decode(self, x0: Tensor, frames: Sequence[int]) -> Tensor:
        """These frames, rising: (B, len(frames), 3, H, W); differentiable."""
        if self.vae.vae.latent_dim == 2:
            latents = x0[:, :, None] if x0.ndim == 4 else x0
            size = 1 if self.low_memory else 2
            again = len(frames) > size
            pieces = [
                checkpointed(self._pictures, _taken(latents, frames[i : i + size]), when=again)
                for i in range(0, len(frames), size)
            ]
            return torch.cat(pieces, 1)
        wanted = [[frame for frame in frames if first <= frame < last] for first, last in self._chunk_frames]
        again = sum(map(bool, wanted)) > 1 or self.low_memory
        chunks = zip(self._chunks, self._chunk_frames, wanted, strict=True)
        return torch.cat(
            [
                checkpointed(self._chunk, x0[:, :, chunk.start : chunk.stop], [frame - last for frame in own], when=again)
                for chunk, (_, last), own in chunks
                if own
            ],
            1,
        )

    @cached_property
    def _chunks(self) -> list[Window]:
        """In latent frames, each with its context; all at once where latent frames do not decode one by one."""
        size, context = (1, 1) if self.low_memory else (CHUNK, CONTEXT)
        first, second, third = (_frames(self.vae, length) for length in (1, 2, 3))
        if second - first == 1:  # frame by frame
            context = 0
        if self.length <= size + context or third - second != second - first:
            return [Window(0, self.length)]
        ends = [*range(size, self.length, size), self.length]
        return [Window(max(0, start - context), end) for start, end in zip([0, *ends], ends, strict=False)]

    @cached_property
    def _chunk_frames(self) -> list[tuple[int, int]]:
        ends = [_frames(self.vae, chunk.stop) for chunk in self._chunks]
        return list(zip([0, *ends], ends, strict=False))

    def _chunk(self, x0: Tensor, wanted: Sequence[int]) -> Tensor:
        """(B, C, T, H, W) -> (B, len(wanted), 3, H', W').  wanted: negative, from the chunk's end."""
        pixels = self._scaled(self.vae.decode(self.to_vae(x0)))
        return _taken(pixels[:, :3], wanted).movedim(2, 1)

    def _pictures(self, x0: Tensor) -> Tensor:
        """(B, C, n, H, W) -> (B, n, 3, H', W'), each by itself."""
        latents = self.to_vae(x0).movedim(2, 1)
        return self._scaled(self.vae.decode(latents.flatten(0, 1)))[:, :3].unflatten(0, latents.shape[:2])

    def _scaled(self, pixels: Tensor) -> Tensor:
        """To 0..1 without clipping, as `VAE.process_output` does in place."""
        at_0, at_quarter = self.vae.vae.process_output(torch.tensor([0.0, 0.25])).tolist()
        return pixels * ((at_quarter - at_0) * 4) + at_0

    def sparing(self) -> NativeVideo:
        return replace(self, low_memory=True)


def _taken(x: Tensor, places: Sequence[int]) -> Tensor:
    """(B, C, T, ...) at these places of T. A list as an index would be copied to the device at every step."""
    return torch.stack([x[:, :, place] for place in places], 2)


def _frames(vae: NativeVae, length: int) -> int:
    """Pictures that so many latent frames decode to."""
    ratio = vae.vae.upscale_ratio
    return ratio[0](length) if isinstance(ratio, tuple) else length
