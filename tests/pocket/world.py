"""An endless, seeded audio-visual world: the data of the pocket models and the ground truth of their tests.

A clip shows one object of one of eight kinds. Whenever it strikes, bounces, rolls or flashes it sounds,
with the timbre of its kind, at exactly that time. How large and hard it is and how forcefully it moves is
seen and heard (as pitch, as the brightness of the strike, as loudness), and no caption says it. Seeds below TEST_SEEDS
are for training, the others for tests: no pocket model and no judge has seen a clip of a test seed.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from tests.pocket.world_kinds import (
    AMBIGUOUS_CAPTIONS,
    KIND_NAMES,
    KINDS,
    Traits,
    kind_index,
    partial_captions,
    precise_captions,
)
from tests.pocket.world_picture import render_frames
from tests.pocket.world_sound import RATE_HZ, render_sound

FPS = 8.0
TEST_SEEDS = 10_000_000
MAX_DURATION_S = 4.0


@dataclass(frozen=True)
class WorldClip:
    """One clip of the world with its truth."""

    seed: int
    kind: str
    duration_s: float
    frames: Tensor  # (T, 3, 64, 64), 0..1, 8 fps
    samples: Tensor  # (round(duration_s * 16000),), -1..1, 16 kHz
    event_times_s: tuple[float, ...]
    caption: str  # precise
    partial_caption: str
    ambiguous_caption: str
    traits: Traits
    fps: float = FPS
    rate_hz: int = RATE_HZ


@dataclass(frozen=True)
class Scene:
    """What happens in a clip, before it is drawn or sounded."""

    seed: int
    kind: str
    duration_s: float
    starts_s: tuple[float, ...]
    ends_s: tuple[float, ...]
    traits: Traits


def _streams(seed: int) -> list[np.random.Generator]:
    """Independent random streams of a seed: plan, sound, picture, captions, traits."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)]


def plan_scene(seed: int, duration_s: float = 2.0, kind: str | None = None) -> Scene:
    """Draw the kind (unless given), the times at which it sounds, every whole second included, and its traits."""
    rng = _streams(seed)[0]
    drawn = KIND_NAMES[int(rng.integers(len(KINDS)))]
    name = kind or drawn
    continuous = KINDS[kind_index(name)].continuous
    starts: list[float] = []
    ends: list[float] = []
    time_s = float(rng.uniform(0.10, 0.45))
    latest_s = duration_s - (0.4 if continuous else 0.15)  # late enough starts could not be seen
    while not starts or time_s < latest_s:
        length = float(rng.uniform(0.8, 1.6)) if continuous else 0.2
        starts.append(min(time_s, max(duration_s - 0.1, 0.0)))
        ends.append(min(time_s + length, duration_s))
        time_s += length + (float(rng.uniform(0.3, 0.45)) if continuous else float(rng.uniform(0.2, 0.6)))
    traits = Traits(*(float(value) for value in _streams(seed)[4].uniform(size=3)))
    return Scene(seed, name, duration_s, tuple(starts), tuple(ends), traits)


def scene_samples(scene: Scene) -> Tensor:
    """The sound of a scene: (round(duration_s * 16000),)."""
    rng = _streams(scene.seed)[1]
    return torch.from_numpy(render_sound(scene.kind, scene.traits, scene.starts_s, scene.ends_s, scene.duration_s, rng))


def scene_frames(scene: Scene) -> Tensor:
    """The pictures of a scene: (T, 3, 64, 64)."""
    kind = KINDS[kind_index(scene.kind)]
    rng = _streams(scene.seed)[2]
    return torch.from_numpy(render_frames(kind, scene.traits, scene.starts_s, scene.ends_s, scene.duration_s, FPS, rng))


def scene_captions(scene: Scene) -> tuple[str, str, str]:
    """A precise, a partial and an ambiguous caption."""
    kind, rng = KINDS[kind_index(scene.kind)], _streams(scene.seed)[3]
    choices = (precise_captions(kind), partial_captions(kind), AMBIGUOUS_CAPTIONS)
    precise, partial, ambiguous = (options[int(rng.integers(len(options)))] for options in choices)
    return precise, partial, ambiguous


def make_clip(seed: int, duration_s: float = 2.0, kind: str | None = None) -> WorldClip:
    """The clip of a seed. `kind` overrides the drawn kind; `duration_s` is at most 4."""
    if not 0 < duration_s <= MAX_DURATION_S:
        raise ValueError(f"duration_s must be above 0 and at most {MAX_DURATION_S}, got {duration_s}")
    if kind is not None and kind not in KIND_NAMES:
        raise ValueError(f"kind must be one of {', '.join(KIND_NAMES)}, got {kind!r}")
    scene = plan_scene(seed, duration_s, kind)
    precise, partial, ambiguous = scene_captions(scene)
    return WorldClip(
        seed,
        scene.kind,
        duration_s,
        scene_frames(scene),
        scene_samples(scene),
        scene.starts_s,
        precise,
        partial,
        ambiguous,
        scene.traits,
    )


def write_clip(clip: WorldClip, path: Path, *, scale: int = 4, audio: bool = True) -> None:
    """Write a clip as an H.264 mp4, pixels enlarged `scale` times, with its sound as AAC if `audio`."""
    pixels = (clip.frames * 255).round().byte().permute(0, 2, 3, 1)  # (T, 64, 64, 3)
    pixels = pixels.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(clip.fps).limit_denominator(1000))
        video.width, video.height, video.pix_fmt = pixels.shape[2], pixels.shape[1], "yuv420p"
        video.options = {"crf": "16"}
        sound = container.add_stream("aac", rate=clip.rate_hz, layout="mono") if audio else None
        for picture in pixels.numpy():
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(video.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(clip.samples.numpy()[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = clip.rate_hz, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
