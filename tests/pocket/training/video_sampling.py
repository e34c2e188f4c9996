"""Clips from prompts alone, and what the judges say of them."""

import torch
from torch import Tensor

from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.guidance.loop import sample
from seeing_core.guidance.losses import WeightedLoss
from seeing_core.guidance.settings import UNGUIDED
from tests.pocket.judges import judge_video_kind, picture_event_times, picture_features
from tests.pocket.world import FPS
from tests.pocket.world_kinds import KIND_NAMES

CFG_SCALE, STEPS, DURATION_S = 4.0, 25, 2.0  # 7.5 works too, with hues a little off


def sample_clips(
    model: AnimateDiff, prompts: list[str], seeds: list[int], *, cfg_scale: float = CFG_SCALE, batch: int = 8
) -> Tensor:
    """Clips of 2 s: (B, 16, 3, 64, 64), 0..1."""
    made = []
    for i in range(0, len(prompts), batch):
        generator = model.conditioned(prompts[i : i + batch], duration_s=DURATION_S, fps=FPS, guidance_scale=cfg_scale)
        [z] = sample([generator], WeightedLoss({}, [[]]), UNGUIDED, seeds=seeds[i : i + batch], steps=STEPS)
        made.append(generator.decode_all(z))
    return torch.cat(made)


def share_right(clips: Tensor, kinds: list[str]) -> float:
    """The share of clips (B, T, 3, H, W) that the picture judge takes for their kind."""
    return sum(judge_video_kind(clip)[0] == kind for clip, kind in zip(clips, kinds)) / len(kinds)


def kind_counts(clips: Tensor) -> list[int]:
    """How many clips the judge takes for each kind, in KIND_NAMES order."""
    judged = [judge_video_kind(clip)[0] for clip in clips]
    return [judged.count(name) for name in KIND_NAMES]


def share_with_events(clips: Tensor, kinds: list[str]) -> float:
    """The share of clips in which the judge finds their kind moving as it does when it sounds."""
    return sum(bool(picture_event_times(clip, FPS, kind)) for clip, kind in zip(clips, kinds)) / len(kinds)


def hue_drift_deg(clip: Tensor) -> float:
    """Root mean square distance of the object's hue in each frame of (T, 3, H, W) from its hue in the whole clip."""
    whole = picture_features(clip)[0]
    each = torch.stack([picture_features(frame[None])[0] for frame in clip])
    return ((each - whole + 180) % 360 - 180).square().mean().sqrt().item()
