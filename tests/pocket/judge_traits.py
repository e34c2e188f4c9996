"""Judges of the traits by signal processing: how large and forceful a thing looks, how high and how loud it sounds.

Each describes a clip by a few numbers and reads the trait from them, 0..1, by a ridge regression of the kind's own, fitted once
from training seeds. A sound's pitch is told as the size that it belongs to, its loudness as the force.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from tests.pocket.judge_picture import coloured, motion_signal
from tests.pocket.judge_sound import JUDGE_SEED, band_power
from tests.pocket.world import Scene, plan_scene, scene_frames, scene_samples
from tests.pocket.world_kinds import KINDS, kind_index

CLIPS_PER_KIND = 60


def spectrum(samples: Tensor, kind: str) -> Tensor:
    """Logarithm of each mel band's share of the power of samples (n,): (40,)."""
    power = band_power(samples, 1024, 160, 40)
    power = (power - power.quantile(0.1, 0)).clamp_min(0).sum(0)
    return (power / power.sum().clamp_min(1e-9) + 1e-4).log()


def level(samples: Tensor, kind: str) -> Tensor:
    """Level of the loudest hundredths of a second of samples (n,), in nats: (1,)."""
    return band_power(samples, 320, 160, 24).sum(1).quantile(0.97).clamp_min(1e-9).log()[None]


def area(frames: Tensor, kind: str) -> Tensor:
    """Logarithm of how many pixels of frames (T, 3, H, W) have the kind's colour: (1,)."""
    return coloured(frames, kind).sum((1, 2)).median().clamp_min(1).log()[None]


def travel(frames: Tensor, kind: str) -> Tensor:
    """How far, or how fast, the object in frames (T, 3, H, W) moves, as its motion is judged: (2,)."""
    signal = motion_signal(KINDS[kind_index(kind)].motion, coloured(frames, kind), frames.amax(1))
    return torch.stack([signal.quantile(0.95) - signal.quantile(0.1), signal.quantile(0.95)]).clamp_min(1e-3).log()


@dataclass(frozen=True)
class Judge:
    """One trait in one medium.  part: renders what is judged.  describe: (what is judged, its kind) -> numbers (D,)."""

    trait: str
    part: Callable[[Scene], Tensor]
    describe: Callable[[Tensor, str], Tensor]
    ridge: float

    @torch.no_grad()
    def __call__(self, given: Tensor, kind: str) -> float:
        """The trait of what is judged to be of this kind, about 0..1."""
        middle, slopes, mean = _line(self, kind)
        return mean + float((self.describe(given.detach().float().cpu(), kind) - middle) @ slopes)


@cache
def _line(judge: Judge, kind: str) -> tuple[Tensor, Tensor, float]:
    """Of a kind: mean numbers (D,), slopes (D,) and the mean of the trait."""
    scenes = [plan_scene(JUDGE_SEED + 1000 * kind_index(kind) + i, 2.0, kind) for i in range(CLIPS_PER_KIND)]
    truth = torch.tensor([getattr(scene.traits, judge.trait) for scene in scenes])
    numbers = torch.stack([judge.describe(judge.part(scene), kind) for scene in scenes])
    middle, mean = numbers.mean(0), truth.mean()
    away = numbers - middle
    inner = away.T @ away + judge.ridge * torch.eye(away.shape[1])
    return middle, torch.linalg.solve(inner, away.T @ (truth - mean)), mean.item()


seen_size = Judge("size", scene_frames, area, ridge=0.1)
seen_force = Judge("force", scene_frames, travel, ridge=0.1)
heard_size = Judge("size", scene_samples, spectrum, ridge=30.0)
heard_force = Judge("force", scene_samples, level, ridge=0.1)
