"""What was added to the paper's loop: each setting at its zero is the loop without it, and does what it says above it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from seeing_core.augment import Augment
from seeing_core.guidance.old_losses import Target, clip_terms, distance
from torch import Tensor

from seeing_core.binders.imagebind import ImageBind
from seeing_core.candidates import audio_defects, rank_candidates
from seeing_core.errors import InputError
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM, ConditionedAudioLDM
from seeing_core.guidance.clips import SoundView
from seeing_core.guidance.loop import sample
from seeing_core.guidance.losses import FitTargets
from seeing_core.guidance.prompt_completion import complete_prompt, draw_phrase
from seeing_core.guidance.settings import (
    AUDIO_PRESETS,
    JOINT_PRESETS,
    VIDEO_PRESETS,
    AlignSettings,
)
from seeing_core.guidance.state import SamplerState
from seeing_core.guidance.trace import Trace
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.tasks import (
    RunConfig,
    TaskResult,
    image_to_audio,
    video_and_audio,
    video_to_audio,
)
from tests.pocket.world import TEST_SEEDS, make_clip

DURATION_S = 1.2
BASES = [AlignSettings("paper"), AlignSettings("x0", start_fraction=0.0, inner_steps=2),
         AlignSettings("unet", prompt_strength=1.0, start_fraction=0.0)]
ZEROS: dict[str, float] = {"event_weight": 0.0, "clip_weight": 0.0, "recurrence": 0, "pull": 0.0, "gradient_clip": 0.0,
                           "augment": 0.0, "early": 1.0, "middle": 1.0, "late": 1.0, "fit_weight": 1.0}
SOME: dict[str, float] = {"event_weight": 1.0, "clip_weight": 1.0, "recurrence": 1, "pull": 0.5, "gradient_clip": 0.5,
                          "augment": 1.0, "early": 2.0, "middle": 2.0, "late": 2.0, "fit_weight": 0.0}


def made(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, settings: AlignSettings) -> Tensor:
    run = RunConfig([0], 6, settings, event_times="0.4")
    return video_to_audio(audioldm, binder, video, run, prompt="a bell", duration_s=DURATION_S).waveforms[0].samples


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.mode)
def test_the_loop_with_all_additions_at_zero_is_the_papers(
    exact_audioldm: AudioLDM, exact_binder: ImageBind, video: VideoFrames, base: AlignSettings
) -> None:
    """Against the plain objective, put together by hand; tests/plain.py holds the loop itself to the formulae."""
    task = ConditionedAudioLDM.from_prompt(exact_audioldm, "a bell", duration_s=DURATION_S)
    view = SoundView.of(task, exact_binder)
    seen = exact_binder.embed_video(video, exact_binder.clip_segments(DURATION_S)).mean(0)
    targets = [Target("vision", seen), Target("text", exact_binder.embed_text(["a bell"])[0])]
    [z] = sample([task], FitTargets(view, [targets]), base, seeds=[0], steps=6, report=lambda progress: None)
    run = RunConfig([0], 6, replace(base, **ZEROS))
    result = video_to_audio(exact_audioldm, exact_binder, video, run, prompt="a bell", duration_s=DURATION_S)
    assert torch.equal(result.waveforms[0].samples[0], task.decode(z)[0].clamp(-1, 1))


@pytest.mark.parametrize("name", SOME)
def test_each_addition_changes_the_result(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, name: str) -> None:
    base = AlignSettings("x0", start_fraction=0.0, inner_steps=2, event_weight=0.5)
    with_it = made(audioldm, binder, video, replace(base, **{name: SOME[name]}))
    assert not torch.equal(made(audioldm, binder, video, base), with_it)
    assert torch.isfinite(with_it).all()


@pytest.mark.parametrize("settings, expected", [({"recurrence": -1}, "0 to 20"), ({"pull": 1.5}, "0 to 1"),
                                                ({"augment": float("nan")}, "0 to 10"), ({"early": -1.0}, "0 to 100")])
def test_settings_out_of_range_are_named(settings: dict[str, float], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        AlignSettings(**settings)


def test_a_pull_of_one_takes_every_nudge_back(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    base = AlignSettings("x0", start_fraction=0.0)
    unguided = made(audioldm, binder, video, replace(base, strength=0.0))
    assert torch.equal(made(audioldm, binder, video, replace(base, pull=1.0)), unguided)


def test_time_travel_restores_the_noise_level(audioldm: AudioLDM) -> None:
    """Of a latent of pure noise: its variance after a step back is that of the level it had, and seeds stay independent."""
    task = ConditionedAudioLDM.from_prompt(audioldm, "a bell", duration_s=2.0)
    track = SamplerState(task, [1, 2], 10, AlignSettings("x0"))
    with torch.no_grad():
        track.denoise(4, gradients=False)
    clean = torch.randn(track.z.shape, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(track.z.shape, generator=torch.Generator().manual_seed(9))
    track.z = track.next_level**0.5 * clean + (1 - track.next_level) ** 0.5 * noise
    track.renoise()
    rest = track.z - track.level**0.5 * clean
    assert float(rest.std()) == pytest.approx((1 - track.level) ** 0.5, rel=0.02)
    assert not torch.equal(rest[0], rest[1])


def test_windows_of_the_run() -> None:
    settings = AlignSettings(early=1.0, middle=2.0, late=3.0)
    assert [settings.window(step, 7) for step in range(7)] == [1, 1, 1, 2, 2, 3, 3]


def test_the_per_clip_loss_compares_each_clip_with_its_own_part() -> None:
    clips, own = torch.randn(2, 3, 5), torch.randn(3, 5)
    [(name, weight, value)] = clip_terms(clips[:, [0, 2]], [0, 2], [Target("vision", own.mean(0), 2.0, own)], 0.5)
    assert (name, weight) == ("vision by clip", 1.0)
    wanted = torch.stack([(distance(row[0], own[0]) + distance(row[2], own[2])) / 2 for row in clips])
    assert torch.allclose(value, wanted)


def test_a_picture_is_every_clips_own_part(audioldm: AudioLDM, binder: ImageBind) -> None:
    picture, settings = torch.rand(1, 3, 32, 32), AlignSettings("x0", clip_weight=1.0)
    point = image_to_audio(audioldm, binder, picture, RunConfig([0], 4, settings), duration_s=2.4).trace.points[0]
    assert set(point.terms) == {"vision", "vision by clip"}


def test_augmentation_is_differentiable_and_fresh_each_time() -> None:
    augment = Augment(1.0)
    samples = torch.rand(2, 16000, requires_grad=True)
    first, second = augment.sound(samples, 16000), augment.sound(samples, 16000)
    assert not torch.equal(first, second)
    preprocess_frames = torch.rand(1, 2, 3, 224, 224, requires_grad=True)
    assert augment.preprocess_frames(preprocess_frames).shape == preprocess_frames.shape
    gradients = torch.autograd.grad(first.sum() + augment.preprocess_frames(preprocess_frames).sum(), [samples, preprocess_frames])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert Augment().sound(samples, 16000) is samples and Augment().preprocess_frames(preprocess_frames) is preprocess_frames


def test_a_vague_prompt_gets_the_targets_words_and_a_fitting_one_stays(pocket_binder: ImageBind) -> None:
    right = 0
    for seed in range(TEST_SEEDS, TEST_SEEDS + 16):
        clip = make_clip(seed)
        target = pocket_binder.embed_video(VideoFrames(clip.frames, clip.fps), pocket_binder.clip_segments(2.0)).mean(0)
        whole = complete_prompt(pocket_binder, "something making a sound", target)
        right += clip.kind in whole.split(", something")[0]
        best = whole.removesuffix(", something making a sound")
        assert complete_prompt(pocket_binder, best, target) == best  # no better words
        assert complete_prompt(pocket_binder, "", target) == best
    assert right >= 15


def test_a_vague_prompt_makes_up_its_mind_by_the_seed(pocket_binder: ImageBind) -> None:
    drawn = {draw_phrase(pocket_binder, "a sound", seed) for seed in range(12)}
    assert len(drawn) > 3 and all(words.endswith(", a sound") for words in drawn)
    assert draw_phrase(pocket_binder, "a sound", 5) == draw_phrase(pocket_binder, "a sound", 5)
    precise = [draw_phrase(pocket_binder, "a red ball bouncing", seed) for seed in range(12)]
    assert sum("ball" in words.split(", a red ball")[0] for words in precise) >= 11


@pytest.mark.parametrize("presets", [AUDIO_PRESETS, VIDEO_PRESETS, JOINT_PRESETS])
def test_presets_paper_is_exactly_the_papers_rule(presets: dict[str, AlignSettings]) -> None:
    tuned = 0.0 if presets is AUDIO_PRESETS else 1.0
    assert presets["paper"] == AlignSettings("paper", prompt_strength=tuned)
    assert {"paper", "quality", "balanced", "fast"} <= presets.keys()


def test_candidates_come_best_first_and_all_are_kept(audioldm: AudioLDM, binder: ImageBind) -> None:
    clip = make_clip(TEST_SEEDS + 3, kind="ball")
    video = VideoFrames(clip.frames, clip.fps)
    true, noise = Waveform(clip.samples[None], 16000), Waveform(torch.randn(1, 32000) * 0.3, 16000)
    silent = Waveform(torch.zeros(1, 32000), 16000)
    result = rank_candidates(TaskResult(Trace(AlignSettings(), 1, ()), (silent, noise, true)), video=video)
    assert result.waveforms[0] is true and set(map(id, result.waveforms)) == {id(true), id(noise), id(silent)}
    assert result.trace.notes[-1].startswith("candidates, best first, counted from the seed: 3 (AV-Align ")
    picture = torch.rand(1, 3, 32, 32)
    several = image_to_audio(audioldm, binder, picture, RunConfig([4, 5], 2, AlignSettings("x0")), duration_s=0.5)
    assert len(rank_candidates(several).waveforms) == 2


def test_faults_of_sounds() -> None:
    tone = torch.sin(torch.arange(16000) * 0.3)[None]
    assert audio_defects(Waveform(0.5 * tone, 16000)) == []
    assert audio_defects(Waveform((5 * tone).clamp(-1, 1), 16000)) == ["clipped"]
    assert audio_defects(Waveform(torch.zeros(1, 16000), 16000)) == ["silent"]
    assert audio_defects(Waveform(0.2 * torch.randn(1, 16000), 16000)) == ["noise"]


def test_joint_reads_one_prompt_in_both_models(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    run = RunConfig([1, 2], 2, AlignSettings("x0", start_fraction=0.0, words=True, event_weight=1.0))
    result = video_and_audio(exact_animatediff, exact_audioldm, exact_binder, run, prompt="noise", duration_s=0.5)
    assert len(result.videos) == len(result.waveforms) == 2
    assert "events" in result.trace.points[0].terms
    assert all(note.endswith(", noise'") for note in result.trace.notes if note.startswith("prompt: read as"))
    assert any(note.startswith("prompt: read as") for note in result.trace.notes)
