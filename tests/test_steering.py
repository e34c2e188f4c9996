"""The loss of a model that something else samples: what the tasks' losses are, from decoders and targets alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from seeing_core.binders.imagebind import ImageBind
from seeing_core.errors import InputError
from seeing_core.guidance.clips import AudioView, spread
from seeing_core.guidance.loop import align, sample
from seeing_core.guidance.losses import EventTimesTerm, OnsetMotionTerm, PairTerm, TargetTerm, WeightedLoss
from seeing_core.guidance.settings import NATIVE, UNGUIDED, AlignSettings
from seeing_core.guidance.state import GivenX0, SamplerState
from seeing_core.guidance.targets import AlignTarget, Images
from seeing_core.media.types import VideoFrames
from seeing_core.steering import steering_loss
from tests.made import bursts, jumping_video
from tests.third_generators import FlowAudio, VelocityVideo

MOVING = jumping_video(32, 16.0, [8, 20])
KNOCKS = bursts([0.5, 1.25], 2.0)
SOUND = FlowAudio().conditioned([""], duration_s=2.0)
SEEN = VelocityVideo().conditioned([""], duration_s=2.0, fps=8.0)
VIDEO_TARGET, SOUND_TARGET = AlignTarget(MOVING), AlignTarget(KNOCKS)
SETTINGS = replace(NATIVE, end_fraction=1.0)


def test_a_video_guides_a_sound_as_in_video_to_audio(exact_binder: ImageBind) -> None:
    loss = steering_loss(exact_binder, [VIDEO_TARGET], SETTINGS, audio=SOUND)
    (segments,) = AudioView(SOUND, exact_binder).all_segments_s()
    expected = WeightedLoss(
        {"audio": AudioView(SOUND, exact_binder)},
        [[TargetTerm("vision", 1.0, "audio", exact_binder.embed_video(MOVING, segments).clips.mean(0))]],
        [EventTimesTerm(1.0, "audio", [[8 / 16 - 0.5 / 16, 20 / 16 - 0.5 / 16]])],
    )
    x0 = SOUND.initial_noise([1, 2])
    made, wanted = loss([x0]), expected([x0])
    torch.testing.assert_close(made.loss, wanted.loss)
    torch.testing.assert_close(made.gradients[0], wanted.gradients[0])


def test_what_steers_what(exact_binder: ImageBind) -> None:
    """The other medium is compared window by window and says when; words, images and the same medium hold for the whole."""
    targets = [AlignTarget("a bell", 0.5), SOUND_TARGET, AlignTarget(Images(MOVING.pixels[:1])), AlignTarget("silence", 0.0)]
    loss = steering_loss(exact_binder, targets, replace(SETTINGS, text_weight=0.5), video=SEEN)
    (terms,) = loss.window_terms
    assert [(term.name, term.weight) for term in terms] == [("target 1", 0.25), ("target 2", 1.0), ("target 3", 1.0)]
    (events,) = loss.whole_terms
    assert isinstance(events, EventTimesTerm) and events.medium == "vision"
    assert events.times_s[0] == pytest.approx([0.5, 1.25], abs=0.03)
    silent = steering_loss(exact_binder, targets, replace(SETTINGS, sync_weight=0.0), video=SEEN)
    assert not silent.whole_terms
    by_hand = steering_loss(exact_binder, targets, SETTINGS, video=SEEN, event_times="1.5")
    assert [list(term.times_s) for term in by_hand.whole_terms] == [[[1.5]]]


def test_what_is_made_together_is_fitted_together(exact_binder: ImageBind) -> None:
    loss = steering_loss(exact_binder, [], SETTINGS, video=SEEN, audio=SOUND)
    assert list(loss.views) == ["vision", "audio"]
    assert [type(term) for term in loss.window_terms[0]] == [PairTerm] and [type(term) for term in loss.whole_terms] == [
        OnsetMotionTerm
    ]
    assert torch.isfinite(loss([SEEN.initial_noise([0]), SOUND.initial_noise([0])]).loss).all()


def test_without_targets_or_strength_there_is_nothing_to_fit_to(exact_binder: ImageBind) -> None:
    for loss in (
        steering_loss(exact_binder, [], SETTINGS, audio=SOUND),
        steering_loss(exact_binder, [VIDEO_TARGET], UNGUIDED, audio=SOUND),
    ):
        assert not any(loss.window_terms) and not loss.whole_terms


def test_weights_of_nothing_are_refused(exact_binder: ImageBind) -> None:
    with pytest.raises(InputError, match="2 targets that all have weight 0"):
        steering_loss(exact_binder, [AlignTarget("a", 0.0), AlignTarget("b", 0.0)], SETTINGS, audio=SOUND)
    with pytest.raises(InputError, match="event times"):
        steering_loss(exact_binder, [VIDEO_TARGET], SETTINGS, audio=SOUND, event_times="soon")


def test_fewer_clips_are_spread_over_the_whole(exact_binder: ImageBind) -> None:
    segments = [(float(i), i + 1.0) for i in range(10)]
    assert spread(segments, 0) == spread(segments, 12) == segments
    assert spread(segments, 1) == [(5.0, 6.0)] and spread(segments, 2) == [(2.0, 3.0), (7.0, 8.0)]
    whole, one = (steering_loss(exact_binder, [VIDEO_TARGET], SETTINGS, audio=SOUND, clips=clips) for clips in (0, 1))
    x0 = SOUND.initial_noise([3])
    assert whole([x0]).loss != one([x0]).loss
    assert len(AudioView(SOUND, exact_binder, 1).all_segments_s()[0]) == 1


def test_a_given_x0_is_moved_as_in_the_loop(exact_binder: ImageBind) -> None:
    """The loop's x0 step and the one on an x0 from elsewhere are one step."""
    loss = steering_loss(exact_binder, [VIDEO_TARGET], SETTINGS, audio=SOUND)
    settings = AlignSettings("x0", strength=1.0, inner_steps=2, start_fraction=0.0)
    state = SamplerState(SOUND, SOUND.initial_noise([4]), SOUND.noise_levels(4), settings)
    state.denoise(0, gradients=False)
    given = GivenX0(state.predict_x0(), SOUND.step_sizes.latent["x0"])
    before = state.z_next.clone()
    for one in (state, given):
        align([one], loss, settings, lambda inner, seen: None)
    torch.testing.assert_close(state.predict_x0(), given.x0)
    assert not torch.equal(state.z_next, before)


def test_it_lowers_the_loss_of_a_run(exact_binder: ImageBind) -> None:
    """Beside the loop, which `steering_loss` serves as well."""
    loss = steering_loss(exact_binder, [AlignTarget(VideoFrames(MOVING.pixels, 16.0))], SETTINGS, audio=SOUND)
    settings = replace(SETTINGS, strength=1.0, inner_steps=3)
    guided, unguided = (sample([SOUND], loss, one, seeds=[5], steps=4) for one in (settings, UNGUIDED))
    assert loss(guided).loss < loss(unguided).loss
