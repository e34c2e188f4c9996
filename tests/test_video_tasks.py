"""Audio to video and joint: gradients are right, each part can be switched off exactly, memory stays small."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from seeing_core.binders.imagebind import ImageBind
from seeing_core.errors import InputError
from seeing_core.generators.animatediff import AnimateDiff, ConditionedAnimateDiff
from seeing_core.generators.audioldm import AudioLDM, ConditionedAudioLDM
from seeing_core.generators.base import NoiseLevel
from seeing_core.guidance.clips import AudioView, VideoView, video_windows
from seeing_core.guidance.loop import sample
from seeing_core.guidance.losses import TargetTerm, WeightedLoss
from seeing_core.guidance.settings import AlignSettings
from seeing_core.guidance.targets import AlignTarget, Images
from seeing_core.media.types import Waveform
from seeing_core.tasks import (
    RunConfig,
    audio_to_video,
    image_to_audio,
    video_and_audio,
    video_to_audio,
)
from seeing_core.weights import load_animatediff
from tests import plain

PROMPT = "a ball"
NOISE = torch.randn(1, 16000, generator=torch.Generator().manual_seed(5)) * 0.1
SOUND = Waveform(NOISE, 16000)
LEVEL = NoiseLevel(torch.tensor(500), 0.5, 0.75**0.5)


@pytest.fixture
def video_generator(exact_animatediff: AnimateDiff) -> ConditionedAnimateDiff:
    return exact_animatediff.conditioned([PROMPT], duration_s=1.0, fps=8)


@pytest.fixture
def audio_generator(exact_audioldm: AudioLDM) -> ConditionedAudioLDM:
    return exact_audioldm.conditioned([PROMPT], duration_s=1.0)


def video_loss(generator: ConditionedAnimateDiff, binder: ImageBind) -> WeightedLoss:
    heard = binder.embed_audio(NOISE.double(), binder.clip_segments(1.0)).clips[0].mean(0)
    terms = [
        TargetTerm("audio", 1.0, "vision", heard),
        TargetTerm("text", 1.0, "vision", binder.embed_text([PROMPT], "vision")[0]),
    ]
    windows = video_windows(binder, generator.frames / generator.fps)
    return WeightedLoss({"vision": VideoView(generator, binder, windows)}, [terms])


def assert_slope(function: Callable[[Tensor], Tensor], at: Tensor, gradient: Tensor) -> None:
    """The gradient's slope along a random direction equals the central difference."""
    direction = torch.randn(at.shape, dtype=at.dtype, generator=torch.Generator().manual_seed(7))
    small = 1e-5
    difference = (function(at + small * direction) - function(at - small * direction)) / (2 * small)
    slope = (gradient * direction).sum()
    assert slope.abs() > 1e-9
    assert difference.item() == pytest.approx(slope.item(), rel=1e-4)


def test_gradient_from_latent_through_frames_to_loss(video_generator: ConditionedAnimateDiff, exact_binder: ImageBind) -> None:
    loss = video_loss(video_generator, exact_binder)
    x0 = video_generator.initial_noise([1])
    assert_slope(lambda x: loss([x]).loss.sum(), x0, loss([x0]).gradients[0])


def test_gradient_from_prompt_through_unet_to_loss(video_generator: ConditionedAnimateDiff, exact_binder: ImageBind) -> None:
    loss, z, level = video_loss(video_generator, exact_binder), video_generator.initial_noise([1]), LEVEL
    y = video_generator.initial_prompt(1).requires_grad_()
    x0 = z - video_generator.predict_noise(z, level, y)
    (gradient,) = torch.autograd.grad(x0, y, loss([x0]).gradients[0])

    def of_prompt(prompt: Tensor) -> Tensor:
        with torch.no_grad():
            return loss([z - video_generator.predict_noise(z, level, prompt)]).loss.sum()

    assert_slope(of_prompt, y.detach(), gradient)


def test_decoding_only_what_is_seen_gives_the_gradient_of_decoding_all(
    video_generator: ConditionedAnimateDiff, exact_binder: ImageBind
) -> None:
    loss = video_loss(video_generator, exact_binder)
    [segments], [terms] = loss.views["vision"].windows, loss.window_terms
    wanted, index = exact_binder.sample_frame_indices(torch.arange(8).double() / 8, segments)
    x0 = video_generator.initial_noise([1]).requires_grad_()
    frames = exact_binder.preprocess_frames(video_generator.model.decode(x0)[0][wanted])
    mean = exact_binder.embed_frames(frames[None], index).clips.mean(1)
    plain = sum(1 - torch.cosine_similarity(mean, term.target, dim=-1) for term in terms)
    (gradient,) = torch.autograd.grad(plain, x0)
    ours = loss([x0])
    assert len(wanted) < video_generator.frames
    assert (ours.loss - plain).abs().max() <= 1e-9
    assert (ours.gradients[0] - gradient).abs().max() <= 1e-5 * gradient.abs().max()


def test_switched_off_parts_change_nothing(video_generator: ConditionedAnimateDiff, exact_binder: ImageBind) -> None:
    loss = video_loss(video_generator, exact_binder)

    def latent(**settings: float) -> Tensor:
        return sample([video_generator], loss, AlignSettings(**settings), seeds=[1], steps=4)[0]

    unguided = latent(start_fraction=1.0)
    assert torch.equal(latent(strength=0.0, prompt_strength=0.0), unguided)
    guided = latent(strength=1.0, prompt_strength=0.0)
    tuned = latent(strength=0.0, prompt_strength=1.0)
    assert (guided - unguided).abs().max() > 1e-4 and (tuned - unguided).abs().max() > 1e-6
    assert (latent(strength=1.0, prompt_strength=1.0) - guided).abs().max() > 1e-6
    assert torch.allclose(latent(strength=1.0, prompt_strength=1e-12), guided, atol=1e-6)


def test_prompt_tuning_alone_leaves_latents_to_the_schedule(
    video_generator: ConditionedAnimateDiff, exact_binder: ImageBind
) -> None:
    """With the latent's own step size 0, z is what diffusers' DDIM gives with the tuned prompts."""
    loss, prompts = video_loss(video_generator, exact_binder), []

    class Watched(ConditionedAnimateDiff):
        def predict_noise(self, z: Tensor, level: NoiseLevel, prompt: Tensor, *, cfg: bool = True) -> Tensor:
            prompts.append(prompt.detach().clone())
            return super().predict_noise(z, level, prompt, cfg=cfg)

    watched = Watched(**{name: getattr(video_generator, name) for name in video_generator.__dataclass_fields__})
    settings = AlignSettings(strength=0.0, prompt_strength=1.0, start_fraction=0.0)
    [tuned] = sample([watched], loss, settings, seeds=[1], steps=4)
    assert all(not torch.equal(a, b) for a, b in zip(prompts, prompts[1:], strict=False))
    scheduler, z = plain.ddim(video_generator.model, 4), video_generator.initial_noise([1])
    with torch.no_grad():
        for level, prompt in zip(video_generator.noise_levels(4), prompts, strict=False):
            z = scheduler.step(video_generator.predict_noise(z, level, prompt), level.t, z).prev_sample
    assert torch.allclose(z, tuned, atol=1e-8)


def test_joint_with_one_term_is_that_task_alone(
    video_generator: ConditionedAnimateDiff, audio_generator: ConditionedAudioLDM, exact_binder: ImageBind
) -> None:
    text = exact_binder.embed_text([PROMPT], "vision")[0]
    hearing = AudioView(audio_generator, exact_binder)
    views = {"vision": VideoView(video_generator, exact_binder, hearing.all_segments_s()), "audio": hearing}
    generators = {"vision": video_generator, "audio": audio_generator}
    settings, off = AlignSettings(prompt_strength=1.0), AlignSettings(start_fraction=1.0)

    def made(media: list[str], judged: str, how: AlignSettings) -> list[Tensor]:
        loss = WeightedLoss({medium: views[medium] for medium in media}, [[TargetTerm("text", 1.0, judged, text)]])
        return sample([generators[medium] for medium in media], loss, how, seeds=[1], steps=3)

    for judged, other in (("vision", "audio"), ("audio", "vision")):
        both = dict(zip(generators, made(list(generators), judged, settings), strict=True))
        assert torch.allclose(both[judged], made([judged], judged, settings)[0], atol=1e-8)
        assert torch.allclose(both[other], made([other], other, off)[0], atol=1e-8)


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that `work` holds at once in tensors it made, as torch's allocator records it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = [
        (event.start_ns(), event.nbytes()) for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    return max(accumulate(size for _, size in sorted(events)))


def test_slices_keep_the_memory_of_decoding_small(animatediff_folders: tuple[Path, Path]) -> None:
    model = load_animatediff(*animatediff_folders)
    generator = model.conditioned([PROMPT], duration_s=2.0, fps=8, width=512, height=512)
    x0 = generator.initial_noise([1]).requires_grad_()

    def decode(frames: int) -> int:
        """Of as many frames at once."""
        parts = [range(i, i + frames) for i in range(0, 16, frames)]
        return peak_bytes(lambda: [torch.autograd.grad(model.decode(x0[:, :, list(part)]).sum(), x0) for part in parts])

    ours = peak_bytes(lambda: torch.autograd.grad(generator.decode(x0, range(16)).sum(), x0))
    assert x0.shape == (1, 4, 16, 64, 64)
    assert ours <= 0.45 * decode(16)


@pytest.mark.parametrize(
    "width, height, usual, low, two",
    [(512, 512, 2, 1, 2), (256, 256, 8, 4, 8), (512, 256, 4, 2, 4), (64, 64, 16, 16, 32), (1024, 1024, 1, 1, 2)],
)
def test_small_frames_are_decoded_more_at_once(
    animatediff_folders: tuple[Path, Path], width: int, height: int, usual: int, low: int, two: int
) -> None:
    """Frames in one pass: usually, where memory is short, and of two samples together."""
    model = load_animatediff(*animatediff_folders)
    taken: list[int] = []
    model.vae.decoder.register_forward_pre_hook(lambda _, args: taken.append(len(args[0])))
    for low_memory, seeds, most in ((False, [1], usual), (True, [1], low), (False, [1, 2], two)):
        generator = model.conditioned([PROMPT], duration_s=2.0, fps=8, width=width, height=height, low_memory=low_memory)
        with torch.no_grad():
            generator.decode(generator.initial_noise(seeds), range(min(16, 2 * usual)))
        assert max(taken) == most
        taken.clear()


def test_checkpointing_halves_the_memory_of_prompt_tuning_and_changes_nothing(animatediff_folders: tuple[Path, Path]) -> None:
    model = load_animatediff(*animatediff_folders)
    generator = model.conditioned([PROMPT], duration_s=2.0, fps=8, width=128, height=128)
    z, y = generator.initial_noise([1]), generator.initial_prompt(1).requires_grad_()

    gradients: list[Tensor] = []

    def tune() -> int:
        return peak_bytes(lambda: gradients.extend(torch.autograd.grad(generator.predict_noise(z, LEVEL, y).sum(), y)))

    checkpointed = tune()
    for part in model.unet.modules():
        part.__dict__.pop("forward", None)  # the classes' own forward, which keeps everything
    assert checkpointed <= 0.5 * tune()
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-4 * gradients[1].abs().max()


@pytest.mark.parametrize("seconds, fps, frames", [(1.0, 8, 8), (2.05, 8, 16), (3.0, 8, 24), (1.3, 12.5, 16)])
def test_videos_last_as_long_as_their_sound(
    exact_animatediff: AnimateDiff, exact_binder: ImageBind, seconds: float, fps: float, frames: int
) -> None:
    sound = Waveform(torch.randn(2, round(seconds * 44100)) * 0.1, 44100)
    result = audio_to_video(exact_animatediff, exact_binder, sound, RunConfig(steps=2), prompt=PROMPT, fps=fps)
    assert result.videos[0].pixels.shape == (frames, 3, 64, 64)
    assert abs(result.videos[0].duration_s - seconds) <= 1 / fps


def test_a_video_of_one_frame_has_no_events(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    run = RunConfig(steps=1, settings=AlignSettings(sync_weight=1.0, start_fraction=0.0))
    for result in (
        audio_to_video(exact_animatediff, exact_binder, SOUND, run, prompt=PROMPT, duration_s=0.3, fps=4),
        video_and_audio(exact_animatediff, exact_audioldm, exact_binder, run, prompt=PROMPT, duration_s=0.3, fps=3),
    ):
        assert len(result.videos[0].pixels) == 1 and "sync" not in result.trace.points[0].terms


def test_the_shortest_joint_video_is_long_enough_for_its_sound(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    result = video_and_audio(exact_animatediff, exact_audioldm, exact_binder, RunConfig(steps=1), prompt=PROMPT, duration_s=0.3)
    assert len(result.videos[0].pixels) == 3 and result.waveforms[0].samples.shape == (1, 6000)


def test_joint_sound_and_frames_cover_the_same_seconds(
    exact_animatediff: AnimateDiff, exact_audioldm: AudioLDM, exact_binder: ImageBind
) -> None:
    result = video_and_audio(
        exact_animatediff, exact_audioldm, exact_binder, RunConfig([1, 2], 2), prompt=PROMPT, duration_s=1.3
    )
    assert [video.pixels.shape[0] for video in result.videos] == [10, 10]
    assert [sound.samples.shape for sound in result.waveforms] == [(1, 20000), (1, 20000)]
    assert set(result.trace.points[0].terms) == {"vision-text", "vision-audio", "audio-text"}


@pytest.mark.parametrize("media", ["metal", Images(torch.rand(2, 3, 9, 9)), SOUND])
def test_further_targets_join_the_loss(audioldm: AudioLDM, binder: ImageBind, media: object) -> None:
    def trace(weight: float) -> dict[str, float]:
        targets = [AlignTarget("a first", 1.0), AlignTarget(media, weight)]
        result = image_to_audio(audioldm, binder, torch.rand(1, 3, 8, 8), RunConfig(steps=3, targets=targets), duration_s=0.5)
        return result.trace.points[0]

    with_, without = trace(2.0), trace(0.0)
    assert set(with_.terms) == {"vision", "target 1", "target 2"} and set(without.terms) == {"vision", "target 1"}
    assert with_.loss == pytest.approx(with_.terms["vision"] + with_.terms["target 1"] + 2 * with_.terms["target 2"], abs=1e-4)


def test_targets_without_weight_are_refused(audioldm: AudioLDM, binder: ImageBind) -> None:
    with pytest.raises(InputError, match="targets: received 1 targets that all have weight 0"):
        image_to_audio(audioldm, binder, torch.rand(1, 3, 8, 8), RunConfig(targets=[AlignTarget("x", 0.0)]), duration_s=1.0)


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


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Waveform(torch.zeros(1, 0), 16000), "audio: received a tensor of shape (1, 0)"),
        (lambda: Waveform(torch.full((1, 9), float("nan")), 16000), "audio: received NaN"),
        (lambda: Waveform(torch.zeros(1, 9), 0), "sample rate: received 0"),
        (lambda: AlignTarget("x", -1.0), "target weight: received -1.0"),
        (lambda: AlignSettings("magic"), "mode: received 'magic'"),
        (lambda: AlignSettings(prompt_strength=float("nan")), "prompt tuning strength: received nan"),
    ],
)
def test_bad_values_are_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError) as error:
        make()
    assert words in str(error.value)


def test_a_long_prompt_says_what_was_cut(exact_animatediff: AnimateDiff, exact_binder: ImageBind) -> None:
    words = "cat " * 499 + "zebra"
    result = audio_to_video(exact_animatediff, exact_binder, SOUND, RunConfig(steps=1), prompt=words)
    assert {note.split(" did not read")[0] for note in result.trace.notes} == {"prompt: AnimateDiff", "prompt: ImageBind"}
    assert all("zebra" in note for note in result.trace.notes)


def test_one_pixel_pictures(audioldm: AudioLDM, binder: ImageBind) -> None:
    result = image_to_audio(audioldm, binder, torch.rand(1, 3, 1, 1), RunConfig(steps=2), duration_s=0.5)
    assert result.waveforms[0].samples.shape == (1, 8000)


def test_still_video_is_sent_to_image_to_audio(audioldm: AudioLDM, binder: ImageBind) -> None:
    from seeing_core.media.types import VideoFrames

    with pytest.raises(InputError, match="at least two frames"):
        video_to_audio(audioldm, binder, VideoFrames(torch.rand(1, 3, 8, 8), 8))


def test_base_and_motion_module_must_belong_together(animatediff_folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, motion = animatediff_folders
    from diffusers import MotionAdapter

    MotionAdapter(block_out_channels=(8, 16), motion_num_attention_heads=2, motion_norm_num_groups=4).save_pretrained(
        tmp_path / "other"
    )
    with pytest.raises(InputError, match="motion adapter: received"):
        load_animatediff(base, tmp_path / "other")
    (tmp_path / "sdxl").mkdir()
    for part in ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer"):
        (tmp_path / "sdxl" / part).mkdir()
    with pytest.raises(InputError, match="which is SDXL"):
        load_animatediff(tmp_path / "sdxl", motion)
    with pytest.raises(InputError, match="without unet, vae"):
        load_animatediff(tmp_path, motion)
