"""Audio to video and joint: gradients are right, each part can be switched off exactly, memory stays small."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from seeing_core.guidance.old_losses import Target, target_terms
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from seeing_core.binders.imagebind import ImageBind
from seeing_core.errors import InputError
from seeing_core.generators.animatediff import AnimateDiff, ConditionedAnimateDiff
from seeing_core.generators.audioldm import AudioLDM, ConditionedAudioLDM
from seeing_core.guidance.clips import PictureView, SoundView
from seeing_core.guidance.loop import sample
from seeing_core.guidance.losses import FitEachOther, FitTargets
from seeing_core.guidance.settings import AlignSettings
from seeing_core.guidance.targets import AlignTarget, Images
from seeing_core.media.types import Waveform
from seeing_core.tasks import (
    RunConfig,
    audio_to_video,
    image_to_audio,
    span_groups,
    video_and_audio,
    video_to_audio,
)
from seeing_core.weights import load_animatediff

PROMPT = "a ball"
NOISE = torch.randn(1, 16000, generator=torch.Generator().manual_seed(5)) * 0.1
SOUND = Waveform(NOISE, 16000)


@pytest.fixture
def film_task(exact_animatediff: AnimateDiff) -> ConditionedAnimateDiff:
    return ConditionedAnimateDiff.from_prompt(exact_animatediff, PROMPT, duration_s=1.0)


@pytest.fixture
def sound_task(exact_audioldm: AudioLDM) -> ConditionedAudioLDM:
    return ConditionedAudioLDM.from_prompt(exact_audioldm, PROMPT, duration_s=1.0)


def nothing(*_: object) -> None:
    """A listener that does not care."""


def fit_picture(task: ConditionedAnimateDiff, binder: ImageBind, **options: int) -> FitTargets:
    groups = span_groups(binder, task.duration_s)
    targets = [Target("audio", binder.embed_audio(NOISE.double(), binder.clip_segments(1.0))[0].mean(0)),
               Target("text", binder.embed_text([PROMPT])[0])]
    return FitTargets(PictureView.of(task, binder, groups, **options), [targets])


def assert_slope(function: Callable[[Tensor], Tensor], at: Tensor, gradient: Tensor) -> None:
    """The gradient's slope along a random direction equals the central difference."""
    direction = torch.randn(at.shape, dtype=at.dtype, generator=torch.Generator().manual_seed(7))
    small = 1e-5
    difference = (function(at + small * direction) - function(at - small * direction)) / (2 * small)
    slope = (gradient * direction).sum()
    assert slope.abs() > 1e-9
    assert difference.item() == pytest.approx(slope.item(), rel=1e-4)


def test_gradient_from_latent_through_frames_to_loss(film_task: ConditionedAnimateDiff, exact_binder: ImageBind) -> None:
    objective = fit_picture(film_task, exact_binder)
    x0 = film_task.initial_noise([1])
    assert_slope(lambda x: objective([x]).loss.sum(), x0, objective([x0]).gradients[0])


def test_gradient_from_prompt_through_unet_to_loss(film_task: ConditionedAnimateDiff, exact_binder: ImageBind) -> None:
    objective, z, t = fit_picture(film_task, exact_binder), film_task.initial_noise([1]), torch.tensor(500)
    y = film_task.initial_prompt(1).requires_grad_()
    x0 = z - film_task.predict_noise(z, t, y)
    (gradient,) = torch.autograd.grad(x0, y, objective([x0]).gradients[0])

    def loss(prompt: Tensor) -> Tensor:
        with torch.no_grad():
            return objective([z - film_task.predict_noise(z, t, prompt)]).loss.sum()

    assert_slope(loss, y.detach(), gradient)


def test_decoding_only_what_is_seen_gives_the_gradient_of_decoding_all(
    film_task: ConditionedAnimateDiff, exact_binder: ImageBind
) -> None:
    objective = fit_picture(film_task, exact_binder)
    [clips], [targets] = objective.view.groups, objective.targets
    x0 = film_task.initial_noise([1]).requires_grad_()
    frames = exact_binder.preprocess_frames(film_task.model.decode(x0)[0])
    mean = exact_binder.embed_frames(frames[None], clips).mean(1)
    loss = sum(value for _, _, value in target_terms(mean, targets))
    (gradient,) = torch.autograd.grad(loss, x0)
    ours = objective([x0])
    assert len(clips.unique()) < film_task.frames
    assert (ours.loss - loss).abs().max() <= 1e-9
    assert (ours.gradients[0] - gradient).abs().max() <= 1e-5 * gradient.abs().max()


def test_switched_off_parts_change_nothing(film_task: ConditionedAnimateDiff, exact_binder: ImageBind) -> None:
    objective = fit_picture(film_task, exact_binder)

    def latent(**settings: float) -> Tensor:
        return sample([film_task], objective, AlignSettings(**settings), seeds=[1], steps=4, report=nothing)[0]

    vanilla = sample([film_task], objective, AlignSettings(start_fraction=1.0), seeds=[1], steps=4, report=nothing)[0]
    assert torch.equal(latent(strength=0.0, prompt_strength=0.0), vanilla)
    guided = latent(strength=1.0, prompt_strength=0.0)
    tuned = latent(strength=0.0, prompt_strength=1.0)
    assert (guided - vanilla).abs().max() > 1e-4 and (tuned - vanilla).abs().max() > 1e-6
    assert (latent(strength=1.0, prompt_strength=1.0) - guided).abs().max() > 1e-6
    assert torch.allclose(latent(strength=1.0, prompt_strength=1e-12), guided, atol=1e-6)


def test_prompt_tuning_alone_leaves_latents_to_the_scheduler(film_task: ConditionedAnimateDiff, exact_binder: ImageBind) -> None:
    """With the latent's own rate 0, z is what a plain loop with the tuned prompts gives."""
    objective, prompts = fit_picture(film_task, exact_binder), []
    predict = ConditionedAnimateDiff.predict_noise

    class Watched(ConditionedAnimateDiff):
        def predict_noise(self, z: Tensor, t: Tensor, prompt: Tensor, *, cfg: bool = True) -> Tensor:
            prompts.append(prompt.detach().clone())
            return predict(self, z, t, prompt, cfg=cfg)

    watched = Watched(**{name: getattr(film_task, name) for name in film_task.__dataclass_fields__})
    settings = AlignSettings(strength=0.0, prompt_strength=1.0, start_fraction=0.0)
    [tuned] = sample([watched], objective, settings, seeds=[1], steps=4, report=nothing)
    assert all(not torch.equal(a, b) for a, b in zip(prompts, prompts[1:], strict=False))
    scheduler, z = film_task.new_scheduler(4), film_task.initial_noise([1])
    with torch.no_grad():
        for t, prompt in zip(scheduler.timesteps, prompts, strict=True):
            z = scheduler.step(film_task.predict_noise(z, t, prompt), t, z).prev_sample
    assert torch.allclose(z, tuned, atol=1e-8)


def test_joint_with_one_term_is_that_task_alone(
    film_task: ConditionedAnimateDiff, sound_task: ConditionedAudioLDM, exact_binder: ImageBind
) -> None:
    text = exact_binder.embed_text([PROMPT])[0]
    hearing = SoundView.of(sound_task, exact_binder)
    seeing = PictureView.of(film_task, exact_binder, [hearing.times_s(piece) for piece in hearing.pieces])
    settings = AlignSettings(prompt_strength=1.0)

    def joint(**weights: float) -> list[Tensor]:
        terms = {"vision-text": 0.0, "vision-audio": 0.0, "audio-text": 0.0} | weights
        objective = FitEachOther(seeing, hearing, text, terms)
        return sample([film_task, sound_task], objective, settings, seeds=[1], steps=3, report=nothing)

    def alone(task: ConditionedAnimateDiff | ConditionedAudioLDM, view: PictureView | SoundView, how: AlignSettings) -> Tensor:
        objective = FitTargets(view, [[Target("text", text)]])
        return sample([task], objective, how, seeds=[1], steps=3, report=nothing)[0]

    off = AlignSettings(start_fraction=1.0)
    seen, heard = joint(**{"vision-text": 1.0})
    assert torch.allclose(seen, alone(film_task, seeing, settings), atol=1e-8)
    assert torch.allclose(heard, alone(sound_task, hearing, off), atol=1e-8)
    seen, heard = joint(**{"audio-text": 1.0})
    assert torch.allclose(heard, alone(sound_task, hearing, settings), atol=1e-8)
    assert torch.allclose(seen, alone(film_task, seeing, off), atol=1e-8)


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that `work` holds at once in tensors it made, as torch's allocator records it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = [(event.start_ns(), event.nbytes()) for event in recorded.profiler.kineto_results.events()
              if event.name() == "[memory]"]
    return max(accumulate(size for _, size in sorted(events)))


def test_slices_keep_the_memory_of_decoding_small(animatediff_folders: tuple[Path, Path], binder: ImageBind) -> None:
    model = load_animatediff(*animatediff_folders)
    task = ConditionedAnimateDiff.from_prompt(model, PROMPT, duration_s=2.0, width=512, height=512)
    x0 = task.initial_noise([1])
    def decode(slice_frames: int) -> int:
        view = PictureView(task, binder, (torch.arange(16).view(8, 2),), slice_frames)
        return peak_bytes(lambda: FitTargets(view, [[Target("text", torch.ones(32))]])([x0]))

    assert x0.shape == (1, 4, 16, 64, 64)
    pairs = decode(2)
    assert pairs <= 0.35 * decode(16)
    assert decode(0) == pairs  # as many as have the pixels of two of 512 x 512


@pytest.mark.parametrize("width, height, most", [(512, 512, 2), (256, 256, 8), (512, 256, 4), (64, 64, 16), (1024, 1024, 1)])
def test_small_frames_are_decoded_more_at_once(
    animatediff_folders: tuple[Path, Path], width: int, height: int, most: int
) -> None:
    model = load_animatediff(*animatediff_folders)
    task = ConditionedAnimateDiff.from_prompt(model, PROMPT, duration_s=2.0, width=width, height=height)
    z = task.initial_noise([1])
    assert [part.shape[2] for part in task.slices(z)] == [most] * (16 // most)
    assert [part.shape[2] for part in task.slices(z, 4)] == [4] * 4


def test_checkpointing_halves_the_memory_of_prompt_tuning_and_changes_nothing(animatediff_folders: tuple[Path, Path]) -> None:
    model = load_animatediff(*animatediff_folders)
    task = ConditionedAnimateDiff.from_prompt(model, PROMPT, duration_s=2.0, width=128, height=128)
    z, y = task.initial_noise([1]), task.initial_prompt(1).requires_grad_()

    gradients: list[Tensor] = []

    def tune() -> int:
        return peak_bytes(lambda: gradients.extend(torch.autograd.grad(task.predict_noise(z, torch.tensor(500), y).sum(), y)))

    sparing = tune()
    for part in model.unet.modules():
        part.__dict__.pop("forward", None)  # the classes' own forward, which keeps everything
    assert sparing <= 0.5 * tune()
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-4 * gradients[1].abs().max()


@pytest.mark.parametrize("seconds, fps, frames", [(1.0, 8, 8), (2.05, 8, 16), (3.0, 8, 24), (1.3, 12.5, 16)])
def test_films_last_as_long_as_their_sound(
    exact_animatediff: AnimateDiff, exact_binder: ImageBind, seconds: float, fps: float, frames: int
) -> None:
    sound = Waveform(torch.randn(2, round(seconds * 44100)) * 0.1, 44100)
    result = audio_to_video(exact_animatediff, exact_binder, sound, RunConfig(steps=2), prompt=PROMPT, fps=fps)
    assert result.videos[0].pixels.shape == (frames, 3, 64, 64)
    assert abs(result.videos[0].duration_s - seconds) <= 1 / fps


def test_a_film_of_one_frame_has_no_events(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    run = RunConfig(steps=1, settings=AlignSettings(event_weight=1.0, start_fraction=0.0))
    for result in (
        audio_to_video(exact_animatediff, exact_binder, SOUND, run, prompt=PROMPT, duration_s=0.3, fps=4),
        video_and_audio(exact_animatediff, exact_audioldm, exact_binder, run, prompt=PROMPT, duration_s=0.3, fps=3),
    ):
        assert len(result.videos[0].pixels) == 1 and "events" not in result.trace.points[0].terms


def test_the_shortest_joint_film_is_long_enough_for_its_sound(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    result = video_and_audio(exact_animatediff, exact_audioldm, exact_binder, RunConfig(steps=1), prompt=PROMPT, duration_s=0.3)
    assert len(result.videos[0].pixels) == 3 and result.waveforms[0].samples.shape == (1, 6000)


def test_joint_sound_and_frames_cover_the_same_seconds(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    result = video_and_audio(exact_animatediff, exact_audioldm, exact_binder, RunConfig([1, 2], 2), prompt=PROMPT,
                             duration_s=1.3)
    assert [video.pixels.shape[0] for video in result.videos] == [10, 10]
    assert [sound.samples.shape for sound in result.waveforms] == [(1, 20000), (1, 20000)]
    assert set(result.trace.points[0].terms) == {"vision-text", "vision-audio", "audio-text"}


@pytest.mark.parametrize("media", ["metal", Images(torch.rand(2, 3, 9, 9)), SOUND])
def test_further_targets_join_the_loss(audioldm: AudioLDM, binder: ImageBind, media: object) -> None:
    def trace(weight: float) -> dict[str, float]:
        extra = [AlignTarget("a first", 1.0), AlignTarget(media, weight)]
        result = image_to_audio(audioldm, binder, torch.rand(1, 3, 8, 8), RunConfig(steps=3, extra=extra), duration_s=0.5)
        return result.trace.points[0]

    with_, without = trace(2.0), trace(0.0)
    assert set(with_.terms) == {"vision", "target 1", "target 2"} and set(without.terms) == {"vision", "target 1"}
    assert with_.loss == pytest.approx(with_.terms["vision"] + with_.terms["target 1"] + 2 * with_.terms["target 2"], abs=1e-4)


def test_targets_without_weight_are_refused(audioldm: AudioLDM, binder: ImageBind) -> None:
    with pytest.raises(InputError, match="targets: received 1 targets that all have weight 0"):
        image_to_audio(audioldm, binder, torch.rand(1, 3, 8, 8), RunConfig(extra=[AlignTarget("x", 0.0)]), duration_s=1.0)


def test_silence_is_noted(exact_animatediff: AnimateDiff, exact_binder: ImageBind) -> None:
    silent = Waveform(torch.zeros(1, 8000), 8000)
    result = audio_to_video(exact_animatediff, exact_binder, silent, RunConfig(steps=2), prompt=PROMPT)
    assert any("silent" in note for note in result.trace.notes)


@pytest.mark.parametrize("rate_hz, channels", [(8000, 1), (44100, 2), (192000, 6)])
def test_sounds_of_any_rate_and_channels(
    exact_animatediff: AnimateDiff, exact_binder: ImageBind, rate_hz: int, channels: int
) -> None:
    sound = Waveform(torch.randn(channels, rate_hz) * 0.1, rate_hz)
    result = audio_to_video(exact_animatediff, exact_binder, sound, RunConfig(steps=2), prompt=PROMPT)
    assert len(result.videos[0].pixels) == 8 and "audio" in result.trace.points[0].terms


@pytest.mark.parametrize("make, words", [
    (lambda: Waveform(torch.zeros(1, 0), 16000), "audio: received a tensor of shape (1, 0)"),
    (lambda: Waveform(torch.full((1, 9), float("nan")), 16000), "audio: received NaN"),
    (lambda: Waveform(torch.zeros(1, 9), 0), "sample rate: received 0"),
    (lambda: AlignTarget("x", -1.0), "target weight: received -1.0"),
    (lambda: AlignSettings("magic"), "alignment mode: received 'magic'"),
    (lambda: AlignSettings(prompt_strength=float("nan")), "prompt tuning strength: received nan"),
])
def test_bad_values_are_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError) as error:
        make()
    assert words in str(error.value)


def test_a_long_prompt_says_what_was_cut(exact_animatediff: AnimateDiff, exact_binder: ImageBind) -> None:
    words = "cat " * 499 + "zebra"
    result = audio_to_video(exact_animatediff, exact_binder, SOUND, RunConfig(steps=1), prompt=words)
    assert {note.split(" reads")[0] for note in result.trace.notes} == {"prompt: AnimateDiff", "prompt: ImageBind"}
    assert all("zebra" in note for note in result.trace.notes)


def test_one_pixel_pictures(audioldm: AudioLDM, binder: ImageBind) -> None:
    result = image_to_audio(audioldm, binder, torch.rand(1, 3, 1, 1), RunConfig(steps=2), duration_s=0.5)
    assert result.waveforms[0].samples.shape == (1, 8000)


def test_still_film_is_sent_to_image_to_audio(audioldm: AudioLDM, binder: ImageBind) -> None:
    from seeing_core.media.types import VideoFrames

    with pytest.raises(InputError, match="at least two frames"):
        video_to_audio(audioldm, binder, VideoFrames(torch.rand(1, 3, 8, 8), 8))


def test_base_and_motion_module_must_belong_together(animatediff_folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, motion = animatediff_folders
    from diffusers import MotionAdapter

    MotionAdapter(block_out_channels=(8, 16), motion_num_attention_heads=2, motion_norm_num_groups=4
                  ).save_pretrained(tmp_path / "other")
    with pytest.raises(InputError, match="motion adapter: received"):
        load_animatediff(base, tmp_path / "other")
    (tmp_path / "sdxl").mkdir()
    for part in ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer"):
        (tmp_path / "sdxl" / part).mkdir()
    with pytest.raises(InputError, match="which is SDXL"):
        load_animatediff(tmp_path / "sdxl", motion)
    with pytest.raises(InputError, match="without unet, vae"):
        load_animatediff(tmp_path, motion)
