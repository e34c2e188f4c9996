"""Judges of pictures by signal processing: kind by hue and outline, event times by how the object moves."""

from functools import cache

import torch
from torch import Tensor

from tests.pocket.judge_sound import JUDGE_SEED, Templates, fit_templates
from tests.pocket.world import plan_scene, scene_frames
from tests.pocket.world_kinds import KIND_NAMES, KINDS, kind_index

CLIPS_PER_KIND = 20
HUE_SPREAD_DEG = 11.0
STILL = 3  # frames without motion before a start


def _hue_and_colourfulness(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Hue in degrees and how much each pixel is coloured, 0..1: two (T, H, W)."""
    red, green, blue = frames.unbind(1)
    high, low = frames.amax(1), frames.amin(1)
    chroma = (high - low).clamp_min(1e-6)
    sector = torch.where(
        high == red,
        ((green - blue) / chroma) % 6,
        torch.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4),
    )
    return 60 * sector, ((high - low - 0.25) / 0.25).clamp(0, 1)


def _mean_hue(hue_deg: Tensor, weight: Tensor) -> Tensor:
    """Circular mean of the hue, degrees."""
    angle = torch.deg2rad(hue_deg)
    return torch.rad2deg(torch.atan2((weight * angle.sin()).sum(), (weight * angle.cos()).sum())) % 360


def _grids(mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Offsets of each pixel from the mask's centre, area and centre: two (T, H, W), three (T,)."""
    rows = torch.arange(mask.shape[1], dtype=torch.float32)[None, :, None]
    cols = torch.arange(mask.shape[2], dtype=torch.float32)[None, None]
    area = mask.sum((1, 2)).clamp_min(1e-3)
    y, x = (mask * rows).sum((1, 2)) / area, (mask * cols).sum((1, 2)) / area
    return cols - x[:, None, None], rows - y[:, None, None], area, x, y


def _outline_features(mask: Tensor) -> Tensor:
    """Numbers that describe an outline whatever its place, size and angle, median over frames: (11,)."""
    dx, dy, area, _, _ = _grids(mask)
    radius = (dx**2 + dy**2).sqrt()
    angle = torch.atan2(dy, dx)

    def mean(value: Tensor) -> Tensor:
        return (mask * value).sum((1, 2)) / area

    spread = mean(radius**2).clamp_min(1e-3).sqrt()
    scaled = radius / spread[:, None, None]
    compact = area / (2 * torch.pi * spread**2)
    moments = [mean(scaled**power) for power in (1, 3, 4)]
    harmonics = [torch.hypot(mean(scaled**2 * (n * angle).cos()), mean(scaled**2 * (n * angle).sin())) for n in range(2, 8)]
    middle = mean((scaled < 0.5).float())
    return torch.stack([compact, *moments, *harmonics, middle], 1).median(0).values


def picture_features(frames: Tensor) -> tuple[Tensor, Tensor]:
    """The object's hue in degrees and its outline features (11,), from frames (T, 3, H, W) in 0..1."""
    hue_deg, mask = _hue_and_colourfulness(frames.detach().float().cpu().clamp(0, 1))
    return _mean_hue(hue_deg, mask), _outline_features(mask)


@cache
def outline_templates() -> Templates:
    """Templates of the kinds' outlines, fitted once from training seeds."""
    features = [
        torch.stack(
            [picture_features(scene_frames(plan_scene(JUDGE_SEED + 1000 * k + i, 2.0, name)))[1] for i in range(CLIPS_PER_KIND)]
        )
        for k, name in enumerate(KIND_NAMES)
    ]
    return fit_templates(torch.stack(features), floor=0.05)


def judge_video_kind(frames: Tensor) -> tuple[str, Tensor]:
    """The kind that frames (T, 3, H, W) show, and the score of each kind in KIND_NAMES order (K,)."""
    hue_deg, outline = picture_features(frames)
    hues = torch.tensor([kind.hue_deg for kind in KINDS])
    error = ((hue_deg - hues + 180) % 360 - 180).abs()
    outline_scores = outline_templates().scores(outline)
    scores = (-0.5 * (error / HUE_SPREAD_DEG) ** 2).clamp_min(-12) + (outline_scores - outline_scores.max()).clamp_min(-6)
    return KIND_NAMES[int(scores.argmax())], scores


def coloured(frames: Tensor, kind: str) -> Tensor:
    """How much each pixel of frames (T, 3, H, W) has the kind's colour, 0..1: (T, H, W)."""
    hue_deg, mask = _hue_and_colourfulness(frames)
    away = ((hue_deg - KINDS[kind_index(kind)].hue_deg + 180) % 360 - 180).abs()
    return mask * (away < 40)


def motion_signal(motion: str, mask: Tensor, value: Tensor) -> Tensor:
    """A number per frame that jumps up at each event: (T,). For running kinds, how fast they roll or turn."""
    dx, dy, _, x, y = _grids(mask)
    if motion == "kick_x":
        tilt = ((mask * dx * dy).sum((1, 2)) / (mask * (dx**2 + dy**2)).sum((1, 2)).clamp_min(1e-3)).abs()
        return (x - x.median()).abs() + 4 * tilt
    if motion == "kick_y":
        return y.median() - y
    if motion == "stretch":
        return ((mask * dy**2).sum((1, 2)) / (mask * dx**2).sum((1, 2)).clamp_min(1e-3)).sqrt()
    if motion == "flash":
        return (mask * value).sum((1, 2)).sqrt()
    if motion == "roll":  # not its spoke, which is too thin to survive a VAE
        moved = x.diff().abs()
    else:  # the turning of a cross, which is immune to camera shake
        angle, weight = torch.atan2(dy, dx), mask * (dx**2 + dy**2)
        phase = torch.atan2((weight * (4 * angle).sin()).sum((1, 2)), (weight * (4 * angle).cos()).sum((1, 2)))
        moved = ((phase.diff() + torch.pi) % (2 * torch.pi) - torch.pi).abs()
    return torch.cat([moved.new_zeros(1), moved])


def _jumps(signal: Tensor, fps: float) -> list[float]:
    """Times at which a signal rises sharply: half a frame before the first high frame."""
    rise = signal[1:] - signal[:-1]
    threshold = 0.4 * rise.max().item()
    frames = [
        i + 1 for i, value in enumerate(rise.tolist()) if value > max(threshold, 1e-3) and (i == 0 or value > rise[i - 1])
    ]
    return [(frame - 0.5) / fps for frame in frames]


def _starts(speed: Tensor, fps: float) -> list[float]:
    """Times at which something starts to move after `STILL` still frames; it may turn back within fewer.

    How far it got in the first two frames, against its usual speed, tells when between frames it started.
    """
    steady = speed[speed > 0.4 * speed.quantile(0.9)].median()
    share = (speed / steady.clamp_min(1e-3)).clamp_max(1).tolist()
    moving = [value > 0.4 for value in share]
    return [
        (i - share[i] - share[i - 1]) / fps
        for i in range(1, len(moving))
        if moving[i] and not any(moving[max(i - STILL, 0) : i])
    ]


def _landings(y: Tensor, fps: float) -> list[float]:
    """Times at which a bouncing object is lowest, between frames where its two flights meet."""
    times: list[float] = []
    middle = (y.max() + y.min()) / 2
    for i in range(1, len(y) - 1):
        if y[i] >= y[i - 1] and y[i] > y[i + 1] and y[i] > middle:
            before, after = (y[i] - y[i - 1]).item(), (y[i] - y[i + 1]).item()
            times.append((i + 0.5 * (before - after) / max(before, after, 1e-3)) / fps)
    return times


def picture_event_times(frames: Tensor, fps: float, kind: str | None = None) -> list[float]:
    """The times in seconds at which the object in frames (T, 3, H, W) strikes or starts to run.

    `kind` is judged unless given. A struck kind is exact to about one frame.
    """
    frames = frames.detach().float().cpu().clamp(0, 1)
    name = kind or judge_video_kind(frames)[0]
    motion = KINDS[kind_index(name)].motion
    mask = coloured(frames, name)
    if motion == "bounce":
        return _landings(_grids(mask)[4], fps)
    signal = motion_signal(motion, mask, frames.amax(1))
    return _starts(signal, fps) if motion in ("roll", "spin") else _jumps(signal, fps)
