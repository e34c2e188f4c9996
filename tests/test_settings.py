"""Settings, presets, prompt completion and candidates: each does what it says, and nothing where it is off."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor

from seeing_core.binders.base import Embedded
from seeing_core.binders.imagebind import ImageBind
from seeing_core.candidates import audio_defects, rank_candidates
from seeing_core.errors import InputError
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.guidance.prompt_completion import complete_prompt, draw_phrase, give_way_notes, left_open
from seeing_core.guidance.settings import (
    AUDIO_PRESETS,
    JOINT_PRESETS,
    VIDEO_PRESETS,
    AlignSettings,
)
from seeing_core.guidance.sync import EventTarget, onset_curve
from seeing_core.guidance.terms import fit_terms
from seeing_core.guidance.trace import Trace
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.tasks import (
    RunConfig,
    TaskResult,
    image_to_audio,
    video_and_audio,
    video_to_audio,
)
from tests import plain
from tests.pocket.world import TEST_SEEDS, make_clip
from tests.pocket.world_kinds import KIND_NAMES, kind_index

DURATION_S = 1.2


@pytest.mark.parametrize("mode, inner_steps", [("paper", 1), ("x0", 1), ("gradient", 1)])
def test_with_all_additions_at_zero_a_task_is_the_plain_loop(
    exact_audioldm: AudioLDM, exact_binder: ImageBind, video: VideoFrames, mode: str, inner_steps: int
) -> None:
    """The whole task against tests/plain.py, which shares no code with it."""
    run = RunConfig([3], 8, AlignSettings(mode, inner_steps=inner_steps))
    result = video_to_audio(exact_audioldm, exact_binder, video, run, prompt="a bell", duration_s=DURATION_S)
    generator = exact_audioldm.conditioned(["a bell"], duration_s=DURATION_S)
    loss = plain.binder_loss(exact_audioldm, exact_binder, video, "a bell", round(DURATION_S * 16000))
    noise = torch.randn(1, 8, generator.latent_length, 16, generator=torch.Generator().manual_seed(3)).double()
    z = plain.guided_latent(
        exact_audioldm,
        loss,
        noise,
        plain.ddim(exact_audioldm, 8),
        prompt="a bell",
        mode=mode,
        rate=generator.step_sizes.latent[mode],
    )
    assert (result.waveforms[0].samples - generator.decode_all(z)[0].clamp(-1, 1)).abs().max() <= 1e-4


def sync_of(audioldm: AudioLDM, binder: ImageBind, settings: AlignSettings, seed: int) -> float:
    """How far the made sound is from starting at 0.4 and 0.9 s: 1 - correlation, by the log-mel of its own waveform."""
    run = RunConfig([seed], 6, settings, event_times="0.4, 0.9")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    [made] = image_to_audio(audioldm, binder, image, run, prompt="a bell", duration_s=DURATION_S).waveforms
    log_mel = torch.log(torch.stft(made.samples, 512, 160, window=torch.hann_window(512), return_complex=True).abs() + 1e-4)
    curve = onset_curve(log_mel.transpose(1, 2), 0.01, 0.01)
    return float(EventTarget([[0.4, 0.9]], curve).distance(curve))


def test_the_sync_term_moves_sounds_to_the_wanted_times(pocket_audioldm: AudioLDM, pocket_binder: ImageBind) -> None:
    base = AlignSettings("x0", strength=2.0, start_fraction=0.0, inner_steps=2, binder_weight=0.0)
    apart = [
        (
            sync_of(pocket_audioldm, pocket_binder, replace(base, sync_weight=1.0), seed),
            sync_of(pocket_audioldm, pocket_binder, replace(base, strength=0.0), seed),
        )
        for seed in range(3)
    ]
    assert all(ours < unguided - 0.1 for ours, unguided in apart), apart


def test_weights_multiply_their_terms(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    """The loss is exactly the sum of the terms that the trace shows, each times its weight."""
    settings = AlignSettings("x0", start_fraction=0.0, vision_weight=2.0, text_weight=3.0, binder_weight=0.5, sync_weight=0.7)
    run = RunConfig([0], 2, settings, event_times="0.4")
    for point in video_to_audio(audioldm, binder, video, run, prompt="a bell", duration_s=DURATION_S).trace.points:
        terms = point.terms
        assert point.loss == pytest.approx(terms["vision"] + 1.5 * terms["text"] + 0.7 * terms["sync"], rel=1e-5)


def test_a_weight_of_zero_leaves_its_term_out(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    def terms(**weights: float) -> set[str]:
        settings = AlignSettings("x0", start_fraction=0.0, sync_weight=1.0)
        run = RunConfig([0], 1, replace(settings, **weights), event_times="0.4")
        trace = video_to_audio(audioldm, binder, video, run, prompt="a bell", duration_s=DURATION_S).trace
        return set(trace.points[0].terms)

    assert terms() == {"vision", "text", "sync"}
    assert terms(vision_weight=0.0) == {"text", "sync"} and terms(text_weight=0.0) == {"vision", "sync"}
    assert terms(binder_weight=0.0) == {"sync"}


def test_times_by_hand_count_even_where_nothing_else_does(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    settings = AlignSettings("x0", start_fraction=0.0, vision_weight=0.0)
    run = RunConfig([0], 1, settings, event_times="0.4")
    trace = video_to_audio(audioldm, binder, video, run, duration_s=DURATION_S).trace
    assert set(trace.points[0].terms) == {"sync"}


def test_which_steps_are_guided() -> None:
    def guided(**settings: float) -> list[int]:
        return [step for step in range(10) if AlignSettings(**settings).is_guided(step, 10)]

    assert guided(guide_every=1) == [3, 4, 5, 6, 7, 8, 9]
    assert guided(guide_every=3) == [3, 6, 9]
    assert guided(start_fraction=0.0, end_fraction=0.7, guide_every=2) == [0, 2, 4, 6]
    assert guided(strength=0.0) == [] and guided(strength=0.0, prompt_strength=0.1) == [3, 4, 5, 6, 7, 8, 9]


def latent_of(generator: object, binder: ImageBind, **settings: float) -> Tensor:
    from seeing_core.guidance.clips import AudioView
    from seeing_core.guidance.loop import sample
    from seeing_core.guidance.losses import TargetTerm, WeightedLoss

    loss = WeightedLoss(
        {"audio": AudioView(generator, binder)}, [[TargetTerm("text", 1.0, "audio", binder.embed_text(["rain"], "vision")[0])]]
    )
    [z] = sample([generator], loss, AlignSettings("x0", start_fraction=0.0, **settings), seeds=[1], steps=2)
    return z


def test_classifier_free_guidance_in_an_interval(exact_audioldm: AudioLDM, exact_binder: ImageBind) -> None:
    on, off = (exact_audioldm.conditioned(["rain"], duration_s=1.0, guidance_scale=scale) for scale in (2.5, 1.0))
    assert torch.equal(latent_of(on, exact_binder, cfg_end_fraction=0.0), latent_of(off, exact_binder))
    assert torch.equal(latent_of(on, exact_binder, cfg_end_fraction=1.0), latent_of(on, exact_binder))
    assert torch.equal(latent_of(on, exact_binder, cfg_start_fraction=1.0), latent_of(off, exact_binder))
    halves = [latent_of(on, exact_binder, **half) for half in ({"cfg_end_fraction": 0.5}, {"cfg_start_fraction": 0.5})]
    for one, other in itertools.combinations([*halves, latent_of(on, exact_binder), latent_of(off, exact_binder)], 2):
        assert not torch.equal(one, other)
    assert list(AlignSettings(cfg_start_fraction=0.3, cfg_end_fraction=0.6).cfg_steps(25)) == list(range(8, 15))


@pytest.mark.parametrize("name", [name for name in asdict(AlignSettings()) if name not in ("mode", "complete_prompt")])
def test_settings_out_of_range_are_named(name: str) -> None:
    for value in (-1, math.nan, 1e9):
        with pytest.raises(InputError, match="received"):
            AlignSettings(**{name: value})


def test_scaling_a_preset() -> None:
    tuned = VIDEO_PRESETS["paper"].scaled(0.5)
    assert (tuned.strength, tuned.prompt_strength, tuned.complete_prompt) == (0.5, 0.5, "never")
    balanced = AUDIO_PRESETS["balanced"]
    assert balanced.scaled(1.0) == balanced
    assert VIDEO_PRESETS["balanced"].scaled(0.0).cfg_steps(25) == range(25)
    words = balanced.scaled(0.0)
    assert not words.enabled and words.complete_prompt == "when empty" and words.uses_target


def test_which_prompts_are_completed() -> None:
    def completed(choice: str) -> list[bool]:
        return [AlignSettings(complete_prompt=choice).completes(prompt) for prompt in ("", " \n", "a lion")]

    assert completed("when empty") == [True, True, False]
    assert completed("always") == [True] * 3 and completed("never") == [False] * 3
    with pytest.raises(InputError, match="'sometimes'.*when empty, always, never"):
        AlignSettings(complete_prompt="sometimes")


def test_a_vague_prompt_gets_the_targets_words_and_a_fitting_one_stays(pocket_binder: ImageBind) -> None:
    right = 0
    for seed in range(TEST_SEEDS, TEST_SEEDS + 16):
        clip = make_clip(seed)
        target = pocket_binder.embed_video(VideoFrames(clip.frames, clip.fps), pocket_binder.clip_segments(2.0)).clips.mean(0)
        whole = complete_prompt(pocket_binder, "something making a sound", target, "vision")
        right += clip.kind in whole.split(", something")[0]
        best = whole.removesuffix(", something making a sound")
        assert complete_prompt(pocket_binder, best, target, "vision") == best  # no better words
        assert complete_prompt(pocket_binder, "", target, "vision") == best
    assert right >= 15


def test_what_a_prompt_leaves_open(pocket_binder: ImageBind) -> None:
    """A picture gives way to a prompt of another kind, hardly to a vague one, and not to one that fits or to none."""
    segments = pocket_binder.clip_segments(2.0)
    clips = [make_clip(seed) for seed in range(TEST_SEEDS + 40, TEST_SEEDS + 56)]
    seen = [pocket_binder.embed_video(VideoFrames(clip.frames, clip.fps), segments).clips for clip in clips]
    target = [Embedded(torch.stack(seen))]
    yields = AlignSettings(give_way=1.0)

    def shares(prompts: list[str], settings: AlignSettings = yields) -> Tensor:
        return torch.as_tensor(left_open(pocket_binder, prompts, target, "vision", settings))

    contrary = [make_clip(clip.seed, kind=KIND_NAMES[kind_index(clip.kind) - 3]).caption for clip in clips]
    assert shares(contrary).mean() < 0.25 and shares(contrary).max() < 0.7
    assert shares([clip.caption for clip in clips]).min() > 0.85
    assert shares(["something making a sound"] * 16).min() > 0.6
    torch.testing.assert_close(1 - shares(contrary, AlignSettings(give_way=0.5)), 0.5 * (1 - shares(contrary)))
    assert shares(["", *contrary[1:]])[0] == 1
    assert left_open(pocket_binder, contrary, target, "vision", AlignSettings()) == 1.0  # exactly the loop without
    assert (
        left_open(pocket_binder, contrary, [], "vision", yields)
        == left_open(pocket_binder, [""], target, "vision", yields)
        == 1.0
    )


def test_the_share_weighs_the_target_and_not_the_moments() -> None:
    target = Embedded(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5, 4))
    fit, moments = fit_terms("vision", 2.0, "audio", target, AlignSettings(moment_weight=1.0), torch.tensor([0.25, 1.0]))
    assert torch.equal(torch.as_tensor(fit.weight), torch.tensor([0.5, 2.0])) and moments.weight == 2.0


def test_the_trace_says_when_the_target_gives_way(audioldm: AudioLDM, pocket_binder: ImageBind) -> None:
    assert give_way_notes("audio", torch.tensor([1.0, 0.12, 0.12])) == [
        "audio: gives way to the prompt; 12 % of its weight is left"
    ]
    assert give_way_notes("vision", 1.0) == []
    clip = make_clip(TEST_SEEDS + 40)
    other = make_clip(clip.seed, kind=KIND_NAMES[kind_index(clip.kind) - 3])
    run = RunConfig(steps=2, settings=replace(AUDIO_PRESETS["balanced"], drafts=1, sync_weight=0.0))
    for prompt, said in ((other.caption, True), (clip.caption, False)):
        video = VideoFrames(clip.frames, clip.fps)
        notes = video_to_audio(audioldm, pocket_binder, video, run, prompt=prompt, duration_s=1.0).trace.notes
        assert any(note.startswith("vision: gives way to the prompt; ") for note in notes) == said


def test_the_seed_decides_what_a_vague_prompt_means(pocket_binder: ImageBind) -> None:
    drawn = {draw_phrase(pocket_binder, "a sound", seed) for seed in range(12)}
    assert len(drawn) > 3 and all(words.endswith(", a sound") for words in drawn)
    assert draw_phrase(pocket_binder, "a sound", 5) == draw_phrase(pocket_binder, "a sound", 5)
    precise = [draw_phrase(pocket_binder, "a red ball bouncing", seed) for seed in range(12)]
    assert sum("ball" in words.split(", a red ball")[0] for words in precise) >= 11
    empty = {draw_phrase(pocket_binder, "", seed) for seed in range(12)}
    assert len(empty) > 6 and empty <= set(pocket_binder.vocabulary)


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


def test_defects_of_sounds() -> None:
    tone = torch.sin(torch.arange(16000) * 0.3)[None]
    assert audio_defects(Waveform(0.5 * tone, 16000)) == []
    assert audio_defects(Waveform((5 * tone).clamp(-1, 1), 16000)) == ["clipped"]
    assert audio_defects(Waveform(torch.zeros(1, 16000), 16000)) == ["silent"]
    assert audio_defects(Waveform(0.2 * torch.randn(1, 16000), 16000)) == ["noise"]


def test_joint_reads_one_prompt_in_both_models(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    settings = AlignSettings("x0", start_fraction=0.0, complete_prompt="always", sync_weight=1.0)
    run = RunConfig([1, 2], 2, settings)
    result = video_and_audio(exact_animatediff, exact_audioldm, exact_binder, run, prompt="noise", duration_s=0.5)
    assert len(result.videos) == len(result.waveforms) == 2
    assert "sync" in result.trace.points[0].terms
    assert any(note.startswith("prompt: read as") for note in result.trace.notes)


def test_the_motion_of_the_given_video_is_measured_once(audioldm: AudioLDM, binder: ImageBind) -> None:
    clip = make_clip(TEST_SEEDS + 3, kind="ball")
    video, frames = VideoFrames(clip.frames, clip.fps), []
    settings = AlignSettings("x0", sync_weight=1.0)
    run = RunConfig([4, 5], 2, settings, motion_callback=lambda done, total: frames.append((done, total)))
    result = video_to_audio(audioldm, binder, video, run, duration_s=2.0)
    ranked = rank_candidates(result, video=video, motion_callback=run.motion_callback)
    assert frames == [(done, 16) for done in range(1, 17)]
    assert len(ranked.waveforms) == 2 and "AV-Align" in ranked.trace.notes[-1]


class Cancelled(Exception):
    pass


def test_measuring_motion_can_be_cancelled(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    def cancel(done: int, total: int) -> None:
        if done == 3:
            raise Cancelled

    run = RunConfig([0], 2, AlignSettings("x0", sync_weight=1.0), motion_callback=cancel)
    with pytest.raises(Cancelled):
        video_to_audio(audioldm, binder, video, run)
