"""How well the trained binder tells kinds apart on fresh clips, through the binder's own input path."""

import torch
from torch import nn

from seeing_core.binders.base import Binder, embed_waveform
from seeing_core.media.types import VideoFrames, Waveform
from tests.pocket.world import FPS, TEST_SEEDS, make_clip
from tests.pocket.world_kinds import KINDS, kind_index, precise_captions


@torch.no_grad()
def binder_scores(binder: Binder, count: int) -> dict[str, float]:
    """Share of fresh clips whose picture or sound is nearest to a caption of its kind, or whose sound is nearest
    to a picture of its kind, and the mean cosine of a clip's own picture and sound."""
    segments = binder.clip_segments(2.0)
    clips = [make_clip(TEST_SEEDS + i) for i in range(count)]
    truth = torch.tensor([kind_index(clip.kind) for clip in clips])
    unit = nn.functional.normalize
    pictures = unit(
        torch.stack([binder.embed_video(VideoFrames(clip.frames, FPS), segments).clips.mean(0) for clip in clips]), dim=-1
    )
    sounds = [Waveform(clip.samples[None], clip.rate_hz) for clip in clips]
    waveforms = unit(torch.stack([embed_waveform(binder, sound, segments).clips.mean(0) for sound in sounds]), dim=-1)
    seen_as, heard_as = (
        unit(binder.embed_text([precise_captions(kind)[0] for kind in KINDS], medium), dim=-1) for medium in ("vision", "audio")
    )
    match = pictures @ waveforms.T
    match.fill_diagonal_(-2)  # a clip's own sound does not count
    return {
        "picture_text_right": ((pictures @ seen_as.T).argmax(1) == truth).float().mean().item(),
        "sound_text_right": ((waveforms @ heard_as.T).argmax(1) == truth).float().mean().item(),
        "picture_sound_right": (truth[match.argmax(1)] == truth).float().mean().item(),
        "own_cosine": round((pictures * waveforms).sum(1).mean().item(), 4),
    }
