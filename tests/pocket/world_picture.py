"""Pictures of the pocket world: one coloured object that moves when it sounds, and a grey one that is silent."""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.pocket.world_kinds import Kind, Traits

SIZE_PX = 64

Array = NDArray[np.float32]
Rng = np.random.Generator

_ROWS, _COLS = np.meshgrid(
    np.arange(SIZE_PX, dtype=np.float32) + 0.5, np.arange(SIZE_PX, dtype=np.float32) + 0.5, indexing="ij"
)


@dataclass
class Pose:
    """Where the object is in each frame: every field is (T,), lengths in pixels, angles in radians."""

    x: Array
    y: Array
    angle: Array
    scale_x: Array
    scale_y: Array
    brightness: Array


def _triangle(x: Array, y: Array) -> Array:
    edges = [np.cos(a) * x + np.sin(a) * y for a in (np.pi / 2, np.pi / 2 + 2.0944, np.pi / 2 - 2.0944)]
    return 0.6 - np.maximum(np.maximum(edges[0], edges[1]), edges[2])


def _wheel(x: Array, y: Array) -> Array:
    radius = np.hypot(x, y)
    spoke = np.minimum(0.16 - np.abs(x), 0.8 - radius)
    return np.maximum(0.24 - np.abs(radius - 0.76), spoke)


def _cross(x: Array, y: Array) -> Array:
    ax, ay = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(0.3 - ax, 1.05 - ay), np.minimum(0.3 - ay, 1.05 - ax))


# Signed distance to the outline in units of the object's radius, positive inside.
OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    "disc": lambda x, y: 0.95 - np.hypot(x, y),
    "triangle": _triangle,
    "ellipse": lambda x, y: 0.5 * (1 - np.hypot(x / 0.5, y / 1.1)),
    "star": lambda x, y: 0.78 + 0.34 * np.sin(5 * np.arctan2(-y, x) - 0) - np.hypot(x, y),
    "dome": lambda x, y: np.minimum(1 - np.hypot(x, y - 0.35), 0.35 - y),
    "wheel": _wheel,
    "square": lambda x, y: 0.8 - np.maximum(np.abs(x), np.abs(y)),
    "cross": _cross,
}


def _coverage(outline: str, pose: Pose, radius: float) -> tuple[Array, Array, Array]:
    """How much of each pixel the object covers, and each pixel's place beside it in radii, x and y: three (T, 64, 64)."""
    dx = _COLS[None] - pose.x[:, None, None]
    dy = _ROWS[None] - pose.y[:, None, None]
    cos, sin = np.cos(pose.angle)[:, None, None], np.sin(pose.angle)[:, None, None]
    local_x = (cos * dx + sin * dy) / (radius * pose.scale_x[:, None, None])
    local_y = (cos * dy - sin * dx) / (radius * pose.scale_y[:, None, None])
    return np.clip(OUTLINES[outline](local_x, local_y) * radius + 0.5, 0, 1), dx / radius, dy / radius


def _since(times_s: Array, starts_s: tuple[float, ...]) -> tuple[Array, NDArray[np.int64]]:
    """Seconds since the last start (large before the first) and its index (-1 before): (T,) each."""
    index = np.searchsorted(np.asarray(starts_s), times_s, side="right") - 1
    last = np.where(index >= 0, np.asarray(starts_s)[np.maximum(index, 0)], -1e3)
    return (times_s - last).astype(np.float32), index


def _bounce_height(times_s: Array, starts_s: tuple[float, ...], duration_s: float) -> Array:
    """Height above the floor, 0..1, of a ball that touches it exactly at every start: (T,)."""
    end = max(starts_s[-1] + 0.45, duration_s + 0.1)
    knots = np.asarray((*starts_s, end))
    index = np.clip(np.searchsorted(knots, times_s, side="right") - 1, 0, len(knots) - 2)
    gap = knots[index + 1] - knots[index]
    u = (times_s - knots[index]) / gap
    arc = 4 * u * (1 - u) * np.minimum((gap / 0.55) ** 2, 1.0)
    fall = np.clip((starts_s[0] - times_s) / 0.4, 0, 1)
    return np.where(times_s < starts_s[0], 1 - (1 - fall) ** 2, arc).astype(np.float32)


def _running_time(times_s: Array, starts_s: tuple[float, ...], ends_s: tuple[float, ...]) -> Array:
    """Seconds for which a continuous kind has run up to each time: (T,)."""
    segments = [np.clip(times_s, start, end) - start for start, end in zip(starts_s, ends_s)]
    return np.sum(segments, 0).astype(np.float32)


def object_pose(
    motion: str,
    force: float,
    times_s: Array,
    starts_s: tuple[float, ...],
    ends_s: tuple[float, ...],
    duration_s: float,
    radius: float,
    rng: Rng,
) -> Pose:
    """The object's pose in each frame, from the times at which it sounds."""
    count = len(times_s)
    x0, y0 = rng.uniform(22, 42), rng.uniform(24, 40)
    pose = Pose(
        np.full(count, x0, np.float32),
        np.full(count, y0, np.float32),
        np.full(count, rng.uniform(-0.12, 0.12), np.float32),
        *np.ones((3, count), np.float32),
    )
    since, index = _since(times_s, starts_s)
    kick = (0.6 + 0.7 * force) * np.exp(-np.maximum(since, 0) / 0.18) * (since < 10)
    side = np.where((index + rng.integers(0, 2)) % 2 == 0, 1.0, -1.0)
    if motion == "bounce":
        height = _bounce_height(times_s, starts_s, duration_s)
        floor = rng.uniform(42, 62 - radius)
        pose.y = (floor - height * (12 + 11 * force)).astype(np.float32)
        pose.scale_y = 1 - 0.25 * np.clip(1 - height / 0.12, 0, 1)
    elif motion == "kick_x":
        pose.x, pose.angle = pose.x + 9 * side * kick, pose.angle + 0.5 * side * kick
    elif motion == "kick_y":
        pose.y, pose.angle = pose.y - 9 * kick, pose.angle + 0.35 * side * kick
    elif motion == "stretch":
        pose.scale_y, pose.scale_x = 1 + 0.7 * kick, 1 - 0.25 * kick
        pose.y = pose.y - 7 * kick
    elif motion == "flash":
        pose.brightness = np.minimum(0.62 + 0.38 * kick, 1)
        pose.scale_x = pose.scale_y = 1 + 0.4 * kick
    else:
        _run(pose, motion, force, _running_time(times_s, starts_s, ends_s), radius, rng)
    return pose


def _run(pose: Pose, motion: str, force: float, run_s: Array, radius: float, rng: Rng) -> None:
    """Roll to and fro along the floor, or spin in place, while running."""
    if motion == "spin":
        pose.angle = pose.angle + (3.0 + 2.5 * force) * run_s
        return
    low, high = radius + 2, SIZE_PX - radius - 2
    path = (rng.uniform(0, 2) + (17 + 16 * force) * run_s / (high - low)) % 2
    pose.x = (low + (high - low) * np.minimum(path, 2 - path)).astype(np.float32)
    pose.angle = (pose.x - low) / radius


def _background(rng: Rng) -> Array:
    """A pale or dark backdrop with a floor, nearly grey: (3, 64, 64)."""
    top = np.asarray(colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0, 0.12), rng.uniform(0.15, 0.85)))
    floor = np.clip(top * rng.uniform(0.7, 1.3), 0.05, 0.95)
    coarse = rng.standard_normal((8, 8)).astype(np.float32)
    texture = np.kron(coarse, np.ones((12, 12), np.float32))[:80, :80]
    texture = np.pad(texture, 3, mode="edge")
    texture = sum(np.roll(texture, (i, j), (0, 1)) for i in (-3, 0, 3) for j in (-3, 0, 3)) / 9
    horizon = rng.uniform(30, 60)
    blend = np.clip((_big_rows() - horizon) / 3 + 0.5, 0, 1)[None]
    image = top[:, None, None] * (1 - blend) + floor[:, None, None] * blend
    return np.clip(image + 0.04 * rng.uniform(0, 1) * texture[None, 3:83, 3:83], 0, 1).astype(np.float32)


def _big_rows() -> Array:
    return np.broadcast_to(np.arange(80, dtype=np.float32)[:, None] - 8, (80, 80))


def _shaken(image: Array, shift: NDArray[np.int64]) -> Array:
    """Crop the 80-pixel backdrop at each frame's whole-pixel shift: (T, 3, 64, 64)."""
    return np.stack([image[:, 8 + dy : 72 + dy, 8 + dx : 72 + dx] for dx, dy in shift])


def _distractor(rng: Rng, times_s: Array, object_x: float) -> tuple[Array, float]:
    """A silent grey object with a motion of its own: its coverage (T, 64, 64) and its grey level."""
    outline = list(OUTLINES)[int(rng.integers(len(OUTLINES)))]
    count, phase = len(times_s), rng.uniform(0, 6.28)
    wave = np.sin(2 * np.pi * rng.uniform(0.3, 0.8) * times_s + phase).astype(np.float32)
    x = (object_x + 32 + rng.uniform(-8, 8)) % SIZE_PX + rng.choice([0.0, 5.0]) * wave
    y = rng.uniform(12, 52) + rng.choice([0.0, 7.0]) * wave
    pose = Pose(
        x.astype(np.float32),
        np.broadcast_to(y, count).astype(np.float32),
        rng.choice([0.0, 0.6]) * wave,
        *np.ones((3, count), np.float32),
    )
    return _coverage(outline, pose, rng.uniform(4.5, 8.0))[0], float(rng.uniform(0.05, 0.95))


def render_frames(
    kind: Kind,
    traits: Traits,
    starts_s: tuple[float, ...],
    ends_s: tuple[float, ...],
    duration_s: float,
    fps: float,
    rng: Rng,
) -> Array:
    """The frames of a clip: (T, 3, 64, 64), 0..1, frame i showing the time i / fps."""
    count = max(1, int(round(duration_s * fps)))
    times_s = (np.arange(count) / fps).astype(np.float32)
    radius = 8.5 + 6 * traits.size
    pose = object_pose(kind.motion, traits.force, times_s, starts_s, ends_s, duration_s, radius, rng)
    shift = np.round(rng.uniform(0, 0.8) * rng.standard_normal((count, 2))).astype(int).clip(-2, 2)
    frames = _shaken(_background(rng), shift)
    pose.x, pose.y = pose.x - shift[:, 0], pose.y - shift[:, 1]
    mask, grey = _distractor(rng, times_s, float(pose.x.mean()))
    frames += mask[:, None] * (grey - frames)
    alpha, right, down = _coverage(kind.outline, pose, radius)
    hue = ((kind.hue_deg + rng.uniform(-7, 7)) % 360) / 360
    colour = np.asarray(colorsys.hsv_to_rgb(hue, rng.uniform(0.85, 1), rng.uniform(0.82, 1)), np.float32)
    shade = (pose.brightness[:, None, None] * (1 - 0.12 * down)).clip(0, 1.0)
    paint = (colour[None, :, None, None] * shade[:, None]).astype(np.float32)
    shine = 0.6 * traits.hardness * np.exp(-((right + 0.3) ** 2 + (down + 0.3) ** 2) / 0.08)
    paint += shine[:, None] * (1 - paint)
    frames += alpha[:, None] * (paint - frames)
    noise = rng.standard_normal(frames.shape, np.float32)
    return np.clip(frames + 0.008 * noise, 0, 1).astype(np.float32)
