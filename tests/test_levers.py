"""Levers on speed: the free ones change nothing, the others change what they say and no more."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import pytest
import torch
from seeing_core.guidance.old_losses import Target
from torch import Tensor

from seeing_core.binders.imagebind import ImageBind
from seeing_core.errors import InputError
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM, ConditionedAudioLDM
from seeing_core.generators.windows import thrifty
from seeing_core.guidance.clips import ClipDraw, SoundView, runs
from seeing_core.guidance.loop import sample
from seeing_core.guidance.losses import FitTargets
from seeing_core.guidance.settings import AlignSettings
from seeing_core.guidance.state import SamplerState
from seeing_core.media.types import VideoFrames
from seeing_core.tasks import RunConfig, video_and_audio, video_to_audio

DURATION_S = 3.0


def objective(task: ConditionedAudioLDM, binder: ImageBind, clips: int = 0) -> FitTargets:
    view = SoundView.of(task, binder)
    targets = [Target("text", binder.embed_text(["rain"])[0])]
    return FitTargets(view, [targets] * len(view.sizes), ClipDraw(clips))


def latent(task: ConditionedAudioLDM, binder: ImageBind, *, steps: int = 2, **settings: object) -> Tensor:
    chosen = AlignSettings(**{"mode": "x0", "start_fraction": 0.0} | settings)
    [z] = sample([task], objective(task, binder, chosen.clips), chosen, seeds=[1], steps=steps, report=lambda progress: None)
    return z


@pytest.fixture
def task(exact_audioldm: AudioLDM) -> ConditionedAudioLDM:
    return ConditionedAudioLDM.from_prompt(exact_audioldm, "rain", duration_s=DURATION_S)


def test_groups_one_by_one_give_the_gradient_of_all_together(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    long = ConditionedAudioLDM.from_prompt(exact_audioldm, "rain", duration_s=13.0)
    one_by_one = objective(long, exact_binder)
    x0 = long.initial_noise([1]).requires_grad_()
    losses = []
    for piece, [target] in zip(one_by_one.view.pieces, one_by_one.targets, strict=True):
        samples = exact_audioldm.decode(x0[:, :, piece.start : piece.stop])[:, : piece.length]
        heard = exact_binder.embed_audio(samples, piece.segments).mean(1)
        losses.append(1 - torch.cosine_similarity(heard, target.embedding[None]))
    loss = torch.stack(losses).mean(0)
    (gradient,) = torch.autograd.grad(loss.sum(), x0)
    ours = one_by_one([x0])
    assert len(losses) == 2
    assert (ours.loss - loss).abs().max() <= 1e-9
    assert (ours.gradients[0] - gradient).abs().max() <= 1e-6 * gradient.abs().max()


@pytest.mark.parametrize("settings", [
    AlignSettings("x0", prompt_strength=0.5, event_weight=1.0), AlignSettings("unet", clip_weight=1.0), AlignSettings("x0"),
], ids=["tuned", "unet", "x0"])
def test_sparing_memory_changes_nothing(
    exact_audioldm: AudioLDM, exact_animatediff: AnimateDiff, exact_binder: ImageBind, settings: AlignSettings
) -> None:
    """Of both models at once, in what the nodes fall back to when memory runs out."""

    def made() -> tuple[Tensor, Tensor]:
        run = RunConfig([1], 3, replace(settings, start_fraction=0.0))
        result = video_and_audio(exact_animatediff, exact_audioldm, exact_binder, run, prompt="rain", duration_s=0.5)
        return result.videos[0].pixels, result.waveforms[0].samples

    usual = made()
    with thrifty():
        sparing = made()
    for ours, theirs in zip(sparing, usual, strict=True):
        assert (ours - theirs).abs().max() <= 1e-4


def test_remembered_targets_change_nothing(audioldm: AudioLDM, fresh_binder: ImageBind, video: VideoFrames) -> None:
    first, again = (video_to_audio(audioldm, fresh_binder, video, RunConfig([1], 3), prompt="rain") for _ in range(2))
    assert torch.equal(first.waveforms[0].samples, again.waveforms[0].samples)


def test_every_kth_step_is_guided() -> None:
    def guided(**settings: float) -> list[int]:
        return [step for step in range(10) if AlignSettings(**settings).guides(step, 10)]

    assert guided(every=1) == [3, 4, 5, 6, 7, 8, 9]
    assert guided(every=3) == [3, 6, 9]
    assert guided(start_fraction=0.0, end_fraction=0.7, every=2) == [0, 2, 4, 6]


def test_all_clips_drawn_are_all_clips(task: ConditionedAudioLDM, exact_binder: ImageBind) -> None:
    assert torch.equal(latent(task, exact_binder, clips=3), latent(task, exact_binder))
    assert torch.equal(latent(task, exact_binder, clips=99), latent(task, exact_binder))
    assert torch.equal(latent(task, exact_binder, clips=1), latent(task, exact_binder, clips=1))
    assert not torch.equal(latent(task, exact_binder, clips=1), latent(task, exact_binder))


@pytest.mark.parametrize("size, count", [(10, 3), (7, 1), (4, 3)])
def test_each_clip_is_drawn_equally_often(size: int, count: int) -> None:
    """So that the mean embedding of the drawn clips is right on average."""
    draw = ClipDraw(count)
    drawn = [draw(size) for _ in range(4000)]
    assert all(len(clips) == count and clips == sorted(set(clips)) for clips in drawn)
    often = Counter(clip for clips in drawn for clip in clips)
    expected = 4000 * count / size
    assert set(often) == set(range(size)) and all(abs(n - expected) < 5 * expected**0.5 for n in often.values())
    again = ClipDraw(count)
    assert [again(size) for _ in range(5)] == drawn[:5]


def test_runs_are_neighbours() -> None:
    assert runs([0, 1, 5, 6, 7]) == [[0, 1], [5, 6, 7]] and runs([]) == [] and runs([3]) == [[3]]


def test_clips_decoded_alone_are_nearly_those_of_the_whole(task: ConditionedAudioLDM, exact_binder: ImageBind) -> None:
    view, x0 = SoundView.of(task, exact_binder), task.initial_noise([1])
    whole = exact_binder.embed_audio(task.decode(x0), view.pieces[0].segments)[0]
    for clip in range(3):
        alone, heard = view.embed(x0, 0, [clip])
        assert torch.cosine_similarity(alone[0, 0], whole[clip], dim=0) > 0.9
        assert heard.shape[1] < task.length


def test_without_classifier_free_guidance_at_the_end(task: ConditionedAudioLDM, exact_binder: ImageBind) -> None:
    off = replace(task, guidance_scale=1.0)
    assert torch.equal(latent(task, exact_binder, cfg_end_fraction=0.0), latent(off, exact_binder))
    assert torch.equal(latent(task, exact_binder, cfg_end_fraction=1.0), latent(task, exact_binder))
    half = latent(task, exact_binder, cfg_end_fraction=0.5)
    assert not torch.equal(half, latent(task, exact_binder)) and not torch.equal(half, latent(off, exact_binder))


def test_both_solvers_reach_the_same_sound(audioldm: AudioLDM) -> None:
    """Without guidance they solve one equation: the more steps, the closer; the second order is closer with few."""
    task = ConditionedAudioLDM.from_prompt(audioldm, "rain", duration_s=0.5)

    def end(solver: str, steps: int) -> Tensor:
        settings = AlignSettings(strength=0.0, solver=solver)
        return sample([task], lambda x0s: None, settings, seeds=[1], steps=steps, report=lambda progress: None)[0]

    exact = end("ddim", 200)
    few, many = ((end("dpm++", steps) - exact).abs().mean() for steps in (8, 32))
    assert many < few < (end("ddim", 8) - exact).abs().mean()


@pytest.mark.parametrize("solver", ["ddim", "dpm++"])
def test_a_step_taken_again_from_the_same_prompt_is_the_same_step(task: ConditionedAudioLDM, solver: str) -> None:
    settings = AlignSettings("unet", solver=solver)
    track = SamplerState(task, [1], 4, settings)
    for step in range(4):
        track.denoise(step, gradients=True)
        before = track.z.detach().clone()
        track.denoise_again()
        track.denoise_again()
        assert torch.allclose(track.z, before, atol=1e-6)
    if solver == "dpm++":  # and what it remembers is of one step each
        assert track.next_scheduler.step_index == 4


def test_models_in_half_precision_follow_the_same_way(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    run = RunConfig([1], 4, AlignSettings("x0", prompt_strength=0.5))
    half = copy.deepcopy(audioldm).to(torch.bfloat16), copy.deepcopy(binder).to(torch.bfloat16)
    full, less = (video_to_audio(*models, video, run, prompt="rain") for models in ((audioldm, binder), half))
    assert less.waveforms[0].samples.dtype == torch.float32 and torch.isfinite(less.waveforms[0].samples).all()
    assert [point.loss for point in less.trace.points] == pytest.approx([point.loss for point in full.trace.points], abs=0.05)


@pytest.mark.parametrize("setting, name", [
    ({"every": 0}, "guided steps"), ({"clips": -1}, "clips"), ({"slice_frames": -1}, "frames per slice"),
    ({"cfg_end_fraction": 1.5}, "end of guidance by prompt"), ({"solver": "euler"}, "solver"),
])
def test_bad_levers_are_named(setting: dict[str, object], name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}: received"):
        AlignSettings(**setting)
