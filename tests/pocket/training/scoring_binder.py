"""How well the trained binder tells kinds apart on fresh clips, through the binder's own input path."""

import torch
from torch import Tensor, nn

from seeing_core.binders.base import Binder, embed_waveform
from seeing_core.media.types import VideoFrames, Waveform
from tests.pocket.training.contrast import AXES
from tests.pocket.world import FPS, TEST_SEEDS, WorldClip, make_clip
from tests.pocket.world_kinds import KINDS, kind_index, precise_captions


def unit(embeddings: Tensor) -> Tensor:
    """Of length 1 along the last axis."""
    return nn.functional.normalize(embeddings, dim=-1)


@torch.no_grad()
def seen_and_heard(binder: Binder, clips: list[WorldClip]) -> tuple[Tensor, Tensor]:
    """Unit embeddings of the clips' pictures and sounds, (N, D) each."""
    segments = binder.clip_segments(2.0)
    pictures = [binder.embed_video(VideoFrames(clip.frames, FPS), segments).clips.mean(0) for clip in clips]
    sounds = [Waveform(clip.samples[None], clip.rate_hz) for clip in clips]
    waveforms = [embed_waveform(binder, sound, segments).clips.mean(0) for sound in sounds]
    return unit(torch.stack(pictures)), unit(torch.stack(waveforms))


def trait_scores(binder: Binder, count: int) -> dict[str, float]:
    """Correlation of what fresh clips say along the axes of the traits with what the traits are."""
    clips = [make_clip(TEST_SEEDS + i) for i in range(count)]
    pictures, waveforms = seen_and_heard(binder, clips)
    told = {
        "seen_size": pictures[:, AXES.start],
        "heard_size": waveforms[:, AXES.start],
        "heard_force": waveforms[:, AXES.stop - 1],
    }
    return {
        name: torch.corrcoef(torch.stack([own, torch.tensor([getattr(clip.traits, name.split("_")[1]) for clip in clips])]))[
            0, 1
        ].item()
        for name, own in told.items()
    }


@torch.no_grad()
def binder_scores(binder: Binder, count: int) -> dict[str, float]:
    """Share of fresh clips whose picture or sound is nearest to a caption of its kind, or whose sound is nearest
    to a picture of its kind, and the mean cosine of a clip's own picture and sound."""
    clips = [make_clip(TEST_SEEDS + i) for i in range(count)]
    truth = torch.tensor([kind_index(clip.kind) for clip in clips])
    pictures, waveforms = seen_and_heard(binder, clips)
    seen_as, heard_as = (
        unit(binder.embed_text([precise_captions(kind)[0] for kind in KINDS], medium)) for medium in ("vision", "audio")
    )
    match = pictures @ waveforms.T
    match.fill_diagonal_(-2)  # a clip's own sound does not count
    return {
        "picture_text_right": ((pictures @ seen_as.T).argmax(1) == truth).float().mean().item(),
        "sound_text_right": ((waveforms @ heard_as.T).argmax(1) == truth).float().mean().item(),
        "picture_sound_right": (truth[match.argmax(1)] == truth).float().mean().item(),
        "own_cosine": round((pictures * waveforms).sum(1).mean().item(), 4),
    }
