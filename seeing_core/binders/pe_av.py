"""PE-AV (Vyas et al., 2025, arXiv 2512.19687) as a binder: one segment a window, embedded as a whole and moment by moment.

The library's encoder of audio reads its codec without gradients, and that of video takes all frames at once. Both keep
everything but that first part, which `OpenCodec` and `FramesInPieces` put together anew from its own layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, pad
from torch.utils.checkpoint import checkpoint

from ..media.types import Segment, Video
from ..precision import to_fp32
from .base import Embedded, at_moments, together
from .reading import segment_batches
from .remembering import Memory

LONGEST_S = 10.24  # of a segment: a window of the generators
MOMENTS_HZ = 25  # of audio; frames that come faster are left out
FRAMES_AT_ONCE, KEPT_FRAMES_AT_ONCE = 16, 4  # through the image tower: without gradients, and with
TEXT_BATCH = 64


@dataclass(frozen=True)
class Inputs:
    """What the model's own processor says of its inputs.

    side: pixels of the square that frames are squashed to.  mean, std: that pixels are normalised with, of each channel.
    frames: how many it takes of a segment; 0 is all.  rate_hz, hop: of the audio, whose length is made a multiple of the hop.
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    frames: int
    rate_hz: int
    hop: int


class OpenCodec(nn.Module):
    """The first part of the audio encoder, with gradients: waveform (B, 1, n) -> (B, T, D)."""

    codec: Any
    bottleneck: Any
    project: Any

    def __init__(self, embedder: nn.Module) -> None:
        super().__init__()
        self.codec, self.bottleneck, self.project = embedder.dac_encoder, embedder.bottleneck, embedder.data_proj

    def forward(self, input_values: Tensor, padding_mask: None = None) -> tuple[Tensor, None]:
        return self.project(self.bottleneck(self.codec(input_values)).transpose(1, 2)), padding_mask


class FramesInPieces(nn.Module):
    """The first part of the video encoder, a few frames at a time: (B, T, 3, H, W) -> (B, T, D).

    With gradients each piece is computed again in the backward pass: memory is that of one piece.
    """

    image_model: Any
    project: Any
    mix: Any

    def __init__(self, embedder: nn.Module) -> None:
        super().__init__()
        self.image_model, self.project, self.mix = embedder.vision_model, embedder.proj, embedder.data_proj

    def forward(self, pixel_values_videos: Tensor, padding_mask: None = None) -> tuple[Tensor, None]:
        frames = pixel_values_videos.flatten(0, 1)
        if torch.is_grad_enabled() and frames.requires_grad:
            pieces = [checkpoint(self._seen, piece, use_reentrant=False) for piece in frames.split(KEPT_FRAMES_AT_ONCE)]
        else:
            pieces = [self._seen(piece) for piece in frames.split(FRAMES_AT_ONCE)]
        seen = normalize(torch.cat(pieces).unflatten(0, pixel_values_videos.shape[:2]), dim=-1)
        return self.mix(self.project(seen)), padding_mask

    def _seen(self, frames: Tensor) -> Tensor:
        return self.image_model(frames).logits


class PeAv(nn.Module):
    """PE-AV's encoders of video, audio and text with their contrastive heads. Its joint encoder of both media is not kept.

    Text has a head of its own beside each medium. Moments are what the head of a medium makes of its encoder's states over time.
    """

    name = "PE-AV"
    towers: Any
    tells_when = True
    tower_names = ("vision", "audio", "text")
    visit: Callable[[str], AbstractContextManager[object]] = staticmethod(lambda tower: nullcontext())

    def __init__(self, model: Any, tokenizer: Any, inputs: Inputs, vocabulary: Sequence[str] = ()) -> None:
        """model: transformers' PeAudioVideoModel; its parts are taken over."""
        super().__init__()
        video, audio = model.video_model, model.audio_model
        video.video_encoder.embedder = FramesInPieces(video.video_encoder.embedder)
        audio.audio_encoder.embedder = OpenCodec(audio.audio_encoder.embedder)
        self.towers = nn.ModuleDict(
            {
                "vision": nn.ModuleDict({"encoder": video.video_encoder, "head": video.video_head}),
                "audio": nn.ModuleDict({"encoder": audio.audio_encoder, "head": audio.audio_head}),
                "text": nn.ModuleDict(
                    {"encoder": model.text_model, "vision": video.text_video_head, "audio": audio.text_audio_head}
                ),
            }
        )
        self.eval().requires_grad_(False)
        self.inputs, self.vocabulary, self.rate_hz = inputs, tuple(vocabulary), inputs.rate_hz
        self._tokenizer = tokenizer
        self._longest = min(tokenizer.model_max_length, model.text_model.config.max_position_embeddings)
        self._videos: Memory[Embedded] = Memory()
        self._texts: Memory[Tensor] = Memory()

    @property
    def precision(self) -> torch.dtype:
        """Of what it is given and gives: single, where the weights are in half."""
        return torch.promote_types(next(self.towers.parameters()).dtype, torch.float32)

    def tower(self, name: str) -> nn.Module:
        return self.towers[name]

    def clip_segments(self, duration_s: float) -> list[Segment]:
        """One segment, or several as long as each other where it would last longer than a window of the generators."""
        count = max(1, math.ceil(duration_s / LONGEST_S - 1e-6))
        return [(i * duration_s / count, (i + 1) * duration_s / count) for i in range(count)]

    def unread(self, prompt: str) -> str:
        ids = self._tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        return self._tokenizer.decode(ids[self._longest - 2 :]).strip()

    @torch.no_grad()
    def embed_text(self, prompts: Sequence[str], beside: str) -> Tensor:
        """(len(prompts), D), in batches."""
        batches = [list(prompts[start : start + TEXT_BATCH]) for start in range(0, len(prompts), TEXT_BATCH)]
        return torch.cat([self._embed_texts(batch, beside) for batch in batches])

    @torch.no_grad()
    def embed_video(self, video: Video, segments: Sequence[Segment]) -> Embedded:
        """clips (S, D), over_time (S, T, D) at 25 a second, whatever the video's rate; one segment after another."""
        wanted, index = self.sample_frame_indices(video.times_s, segments)
        times_s = video.times_s[torch.tensor(wanted)][index]  # (S, k)
        clips, over_time = {}, {}
        for [number], frames, [own] in segment_batches(video, wanted, index, 1, self.preprocess_frames):
            seen = self._videos.recall("video", frames[:, own], lambda clip: self._embed_clips(clip[None]))
            clips[number] = seen.clips[0, 0]
            on_screen = _on_screen(times_s[number], segments[number], _moments(segments))
            over_time[number] = _over_time(seen)[0, 0, on_screen.to(seen.clips.device)]
        numbers = range(len(segments))
        return Embedded(torch.stack([clips[i] for i in numbers]), torch.stack([over_time[i] for i in numbers]))

    def sample_frame_indices(self, times_s: Tensor, segments: Sequence[Segment]) -> tuple[list[int], Tensor]:
        """As many of each segment's frames as the model takes, evenly spread; for all of them 25 a second at most."""
        edges = [[int(torch.searchsorted(times_s, edge - 1e-6)) for edge in segment] for segment in segments]
        # A segment in which no frame appears takes the frame then on screen.
        spans = [(first, stop) if first < stop else (max(first - 1, 0), max(first, 1)) for first, stop in edges]
        count = self.inputs.frames or min(max(stop - first for first, stop in spans), _moments(segments))
        picks = [[first + int(i * (stop - first - 1) / max(count - 1, 1)) for i in range(count)] for first, stop in spans]
        wanted = sorted({frame for pick in picks for frame in pick})
        position = {frame: i for i, frame in enumerate(wanted)}
        return wanted, torch.tensor([[position[frame] for frame in pick] for pick in picks])

    def preprocess_frames(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W), 0..1 -> (N, 3, side, side), squashed to a square and normalised; differentiable."""
        size = (self.inputs.side, self.inputs.side)
        squares = interpolate(frames, size, mode="bilinear", antialias=True)
        # Numbers, not tensors, which would have to be copied to the device at every step.
        channels = zip(squares.unbind(1), self.inputs.mean, self.inputs.std, strict=True)
        return torch.stack([(channel - mean) / std for channel, mean, std in channels], 1)

    def embed_frames(self, frames: Tensor, index: Tensor) -> Embedded:
        """Preprocessed frames (B, n, 3, side, side), positions (S, k) in n -> clips (B, S, D), over_time (B, S, k, D)."""
        return self._embed_clips(frames[:, index])

    def embed_audio(self, samples: Tensor, segments: Sequence[Segment]) -> Embedded:
        """samples (B, n) at 48 kHz -> clips (B, S, D), over_time (B, S, T, D) at 25 a second; differentiable."""
        lengths = [round((stop_s - start_s) * self.rate_hz) for start_s, stop_s in segments]
        length = max(lengths)
        if min(lengths) < length - 1:  # the last window of something long; else one batch, where rounding is no difference
            parts = [self.embed_audio(samples, [segment]) for segment in segments]
            spread = [part._replace(over_time=at_moments(_over_time(part), _moments(segments))) for part in parts]
            return together(lambda tensors: torch.cat(tensors, 1), spread)
        cut = [samples[:, round(start_s * self.rate_hz) :][:, :length] for start_s, _ in segments]
        clips = torch.stack([pad(clip, (0, length - clip.shape[-1])) for clip in cut], 1)
        rest = -length % self.inputs.hop
        clips = pad(clips, (0, rest), mode="reflect" if rest < length else "constant")
        return self._forward("audio", clips.flatten(0, 1)[:, None], clips.shape[:2])

    def _embed_clips(self, clips: Tensor) -> Embedded:
        """(B, S, k, 3, side, side). Moments: of the time that each frame is on screen, so half of what the next one shows."""
        seen = self._forward("vision", clips.flatten(0, 1), clips.shape[:2])
        over_time = _over_time(seen)
        after = torch.cat([over_time[:, :, 1:], over_time[:, :, -1:]], 2)
        return seen._replace(over_time=(over_time + after) / 2)

    def _forward(self, medium: str, inputs: Tensor, shape: Sequence[int]) -> Embedded:
        with self.visit(medium):
            tower = self.towers[medium]
            weights = next(tower.parameters())
            states = tower["encoder"](inputs.to(weights.device, weights.dtype), None)
            clips, over_time = tower["head"](states.pooler_output), tower["head"](states.last_hidden_state)
        return together(lambda parts: to_fp32(parts[0]).unflatten(0, tuple(shape)), [Embedded(clips, over_time)])

    def _embed_texts(self, prompts: list[str], beside: str) -> Tensor:
        tokens = self._tokenizer(prompts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
        mask = tokens["attention_mask"]

        def read(ids: Tensor) -> Tensor:
            with self.visit("text"):
                tower = self.towers["text"]
                device = next(tower.parameters()).device
                states = tower["encoder"](
                    input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=True
                ).hidden_states
                return to_fp32(tower[beside](states[-1][:, 0]))

        return self._texts.recall(beside, tokens["input_ids"], read)


def _moments(segments: Sequence[Segment]) -> int:
    """How many the longest of them has."""
    return max(1, *(math.ceil((stop_s - start_s) * MOMENTS_HZ - 1e-6) for start_s, stop_s in segments))


def _on_screen(times_s: Tensor, segment: Segment, count: int) -> Tensor:
    """Of the frames at these times (k,), the one on screen at each of `count` moments of the segment, (count,)."""
    start_s, stop_s = segment
    middles_s = start_s + (torch.arange(count, dtype=times_s.dtype) + 0.5) * (stop_s - start_s) / count
    return (torch.searchsorted(times_s, middles_s, right=True) - 1).clamp(0, len(times_s) - 1)


def _over_time(embedded: Embedded) -> Tensor:
    assert embedded.over_time is not None
    return embedded.over_time
