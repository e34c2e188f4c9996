"""The pocket world is deterministic, and its judges are right on clips they have never met."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from seeing_core.metrics.frechet import frechet_distance, gaussian_of
from tests.pocket.judge_traits import Judge
from tests.pocket.judges import (
    FEATURES,
    event_match,
    heard_force,
    heard_size,
    judge_sound_kind,
    judge_video_kind,
    picture_event_times,
    seen_force,
    seen_size,
    sound_event_times,
    sound_features,
    typicality,
)
from tests.pocket.world import TEST_SEEDS, WorldClip, make_clip, plan_scene, scene_frames, scene_samples, write_clip
from tests.pocket.world_kinds import AMBIGUOUS_CAPTIONS, KIND_NAMES, KINDS, Traits, kind_index

FRESH = 200
pytestmark = pytest.mark.xdist_group("world")  # its clips are drawn once


@pytest.fixture(scope="module")
def clips() -> list[WorldClip]:
    return [make_clip(TEST_SEEDS + i) for i in range(FRESH)]


def share_right(judged: list[str], clips: list[WorldClip]) -> float:
    return sum(kind == clip.kind for kind, clip in zip(judged, clips)) / len(clips)


def test_a_seed_is_a_clip() -> None:
    first, again, other = make_clip(7), make_clip(7), make_clip(8)
    assert torch.equal(first.frames, again.frames) and torch.equal(first.samples, again.samples)
    assert (first.kind, first.event_times_s, first.caption) == (again.kind, again.event_times_s, again.caption)
    assert not torch.equal(first.frames, other.frames)


@pytest.mark.parametrize("duration_s", [0.5, 1.0, 2.0, 2.24, 3.3, 4.0])
def test_lengths_and_ranges_are_exact(duration_s: float) -> None:
    for kind in KIND_NAMES:
        clip = make_clip(TEST_SEEDS + 5, duration_s, kind)
        assert clip.kind == kind
        assert clip.samples.shape == (round(duration_s * 16000),) and clip.samples.dtype == torch.float32
        assert clip.frames.shape == (round(duration_s * 8), 3, 64, 64) and clip.frames.dtype == torch.float32
        assert 0 <= clip.frames.min() and clip.frames.max() <= 1 and clip.samples.abs().max() <= 1
        assert all(0 <= time_s < duration_s for time_s in clip.event_times_s)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="4"):
        make_clip(0, 5.0)
    with pytest.raises(ValueError, match="violin"):
        make_clip(0, kind="violin")


def test_captions_say_as_much_as_their_level(clips: list[WorldClip]) -> None:
    for clip in clips:
        kind = KINDS[kind_index(clip.kind)]
        assert kind.name in clip.caption and (kind.doing in clip.caption or kind.sounds[1] in clip.caption)
        assert sum(clue in clip.partial_caption for clue in (kind.name, kind.colour, *kind.sounds)) <= 1
        assert any(clue in clip.partial_caption for clue in (kind.name, kind.colour, kind.doing, *kind.sounds))
        assert clip.ambiguous_caption in AMBIGUOUS_CAPTIONS
        for other in KINDS:
            assert not {other.name, other.colour, other.doing} & set(clip.ambiguous_caption.split())


def test_every_kind_is_drawn_and_varies(clips: list[WorldClip]) -> None:
    assert min(Counter(clip.kind for clip in clips).values()) >= FRESH / len(KINDS) / 2
    assert set(Counter(clip.kind for clip in clips)) == set(KIND_NAMES)
    for kind in KIND_NAMES:
        areas = [(clip.frames[0].amax(0) - clip.frames[0].amin(0) > 0.3).sum().item() for clip in clips if clip.kind == kind]
        assert max(areas) > 1.4 * min(areas), f"every {kind} has the same size"


def test_sound_starts_at_the_event_to_the_sample() -> None:
    for i, kind in enumerate(KIND_NAMES):
        clip = make_clip(TEST_SEEDS + 300 + i, kind=kind)
        start = round(clip.event_times_s[0] * 16000)
        before, after = clip.samples[:start], clip.samples[start : start + 800]
        assert before.square().mean().sqrt() < 0.1 * after.square().mean().sqrt(), kind
        assert clip.samples[start : start + 48].abs().max() > 2 * before.abs().max(), kind


def test_pictures_move_when_they_sound_and_only_then() -> None:
    """Frames around an event differ more than frames long after it, for a kind that rests in between."""
    for seed in range(5):
        clip = make_clip(TEST_SEEDS + 400 + seed, 1.0, "horn")
        coloured = ((clip.frames.amax(1) - clip.frames.amin(1)) > 0.3).float().sum((1, 2))
        first = int(clip.event_times_s[0] * 8)
        assert coloured[first + 1] > 1.2 * coloured[first]


def test_sound_judge_on_fresh_clips(clips: list[WorldClip]) -> None:
    assert share_right([judge_sound_kind(clip.samples)[0] for clip in clips], clips) >= 0.97


def test_picture_judge_on_fresh_clips(clips: list[WorldClip]) -> None:
    assert share_right([judge_video_kind(clip.frames)[0] for clip in clips], clips) >= 0.97


def test_judges_do_not_depend_on_the_length() -> None:
    fresh = [make_clip(TEST_SEEDS + 1000 + i, duration_s) for i, duration_s in enumerate([1.0, 3.0, 4.0] * 24)]
    assert share_right([judge_sound_kind(clip.samples)[0] for clip in fresh], fresh) >= 0.97
    assert share_right([judge_video_kind(clip.frames)[0] for clip in fresh], fresh) >= 0.97


def test_event_times_of_sounds(clips: list[WorldClip]) -> None:
    scores = [event_match(sound_event_times(clip.samples), clip.event_times_s, 0.05) for clip in clips]
    assert sum(scores) / len(scores) >= 0.97


def test_event_times_of_pictures(clips: list[WorldClip]) -> None:
    scores = [event_match(picture_event_times(clip.frames, clip.fps), clip.event_times_s, 0.125) for clip in clips]
    assert sum(scores) / len(scores) >= 0.95


@pytest.mark.parametrize(
    ("judge", "part", "trait", "least"),
    [
        (seen_size, "frames", "size", 0.95),
        (heard_size, "samples", "size", 0.9),
        (seen_force, "frames", "force", 0.7),
        (heard_force, "samples", "force", 0.9),
    ],
)
def test_traits_are_seen_and_heard(clips: list[WorldClip], judge: Judge, part: str, trait: str, least: float) -> None:
    """What no caption says is in the picture and in the sound: this is also the ceiling of what guidance can carry over."""
    told = [judge(getattr(clip, part), clip.kind) for clip in clips[::2]]
    assert np.corrcoef(told, [getattr(clip.traits, trait) for clip in clips[::2]])[0, 1] >= least


def test_traits_are_not_in_the_captions_nor_in_each_other(clips: list[WorldClip]) -> None:
    traits = np.array([[clip.traits.size, clip.traits.hardness, clip.traits.force] for clip in clips])
    assert traits.min() >= 0 and traits.max() <= 1 and (traits.std(0) > 0.25).all()
    assert np.abs(np.corrcoef(traits.T) - np.eye(3)).max() < 0.2
    assert make_clip(7, 3.0, "horn").traits == make_clip(7).traits


def test_a_hard_thing_shines_and_strikes_brightly() -> None:
    for kind in ("ball", "block"):
        scenes = [
            replace(plan_scene(seed, 2.0, kind), traits=Traits(0.5, hardness, 0.5)) for seed in (1, 2) for hardness in (0, 1)
        ]
        soft, hard = scenes[::2], scenes[1::2]
        for dull, bright in zip(soft, hard):
            start = round(dull.starts_s[0] * 16000)
            high = [torch.fft.rfft(scene_samples(scene)[start : start + 320]).abs()[60:].sum() for scene in (dull, bright)]
            assert high[1] > 1.5 * high[0]
            assert (scene_frames(bright) - scene_frames(dull)).amax() > 0.3


def test_judges_tell_wrong_from_right(clips: list[WorldClip]) -> None:
    """Noise is no event; shifted events do not match; sounds of one kind are far from those of another."""
    noise = 0.1 * torch.randn(32000, generator=torch.Generator().manual_seed(0))
    assert event_match([time_s + 0.3 for time_s in clips[0].event_times_s], clips[0].event_times_s, 0.1) < 0.5
    real = torch.stack([sound_features(clip.samples) for clip in clips])
    assert real.shape == (FRESH, FEATURES)
    bells = real[[clip.kind == "bell" for clip in clips]]
    same = frechet_distance(gaussian_of(real[::2]), gaussian_of(real[1::2]))
    assert frechet_distance(gaussian_of(real), gaussian_of(bells)) > 10 * same
    typical = torch.tensor([typicality(row) for row in real])
    assert typicality(sound_features(noise)) < typical.quantile(0.05) < typical.median()


def test_the_distractor_is_there_and_grey() -> None:
    """Something besides the object moves over the background, and it is never coloured like an object."""
    moved = 0
    for seed in range(30):
        frames = make_clip(TEST_SEEDS + 500 + seed, kind="horn").frames
        chroma = frames.amax(1) - frames.amin(1)
        far = chroma.amax(0) < 0.2  # pixels the object never touches
        spread = frames.mean(1).amax(0) - frames.mean(1).amin(0)
        moved += bool((spread[far] > 0.25).sum() > 20)
    assert moved >= 6


def test_a_clip_is_quick_to_make() -> None:
    make_clip(0)
    started = time.process_time()
    for seed in range(20):
        make_clip(seed)
    assert (time.process_time() - started) / 20 < 0.06  # 10 ms on the machine it was written on


def test_written_clip_has_picture_sound_and_length(tmp_path: Path) -> None:
    clip = make_clip(TEST_SEEDS + 3)
    for audio in (True, False):
        path = tmp_path / f"{audio}.mp4"
        write_clip(clip, path, audio=audio)
        with av.open(str(path)) as container:
            assert len(container.streams.audio) == audio
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            assert container.streams.video[0].average_rate == 8
        assert len(frames) == 16 and frames[0].shape == (256, 256, 3)
        pictures = torch.tensor(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
        assert judge_video_kind(pictures[:, :, ::4, ::4])[0] == clip.kind
