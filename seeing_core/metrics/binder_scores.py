"""How alike a video, a sound and a sentence are to a binder. What guidance optimises: alone it proves nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..binders.base import Binder, embed_waveform
from ..media.resample import mono
from ..media.types import Segment, Video, Waveform, fit_length


@dataclass(frozen=True)
class BinderScores:
    """Cosines, -1..1, of binder embeddings: audio-vision, vision-text, audio-text; None without a prompt.

    av, vt, at: of the embeddings averaged over the video, as the paper's tables and the aligner take them.
    av_each, vt_each, at_each: (S,) of each clip alone.  segments: the S clips, in seconds; of ImageBind one a second.
    binder: the name of the one that was asked.
    """

    av: float
    vt: float | None
    at: float | None
    av_each: Tensor
    vt_each: Tensor | None
    at_each: Tensor | None
    segments: tuple[Segment, ...]
    binder: str


@torch.no_grad()
def binder_scores(binder: Binder, video: Video, sound: Waveform, prompt: str = "") -> BinderScores:
    """Similarities over the length of the video; a shorter sound is followed by silence, a longer one is cut.

    With ImageBind these are the paper's AV, VT and AT scores (Girdhar et al., CVPR 2023).
    """
    segments = binder.clip_segments(video.duration_s)
    samples = mono(sound, binder.rate_hz)
    length = max(round(video.duration_s * binder.rate_hz), 1)
    vision = binder.embed_video(video, segments).clips.float().cpu()  # (S, D)
    fitted = Waveform(fit_length(samples, length)[None], binder.rate_hz)
    audio = embed_waveform(binder, fitted, segments).clips.float().cpu()  # (S, D)
    av, av_each = _cosines(audio, vision)
    if not prompt.strip():
        return BinderScores(av, None, None, av_each, None, None, tuple(segments), binder.name)
    vt, vt_each = _cosines(vision, binder.embed_text([prompt], "vision").float().cpu())
    at, at_each = _cosines(audio, binder.embed_text([prompt], "audio").float().cpu())
    return BinderScores(av, vt, at, av_each, vt_each, at_each, tuple(segments), binder.name)


def _cosines(a: Tensor, b: Tensor) -> tuple[float, Tensor]:
    """(S, D) and (S or 1, D) -> the cosine of their means, and those of their rows (S,)."""
    return float(cosine_similarity(a.mean(0), b.mean(0), dim=-1)), cosine_similarity(a, b, dim=-1)
