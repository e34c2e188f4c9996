"""Generators that the core has never heard of run all four tasks, with no edit to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from seeing_core.binders.imagebind import ImageBind
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.generators.base import waveform_onset_features
from seeing_core.guidance.clips import AudioView
from seeing_core.guidance.loop import sample
from seeing_core.guidance.losses import WeightedLoss
from seeing_core.guidance.settings import AUDIO_PRESETS, JOINT_PRESETS, UNGUIDED, VIDEO_PRESETS, AlignSettings
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.tasks import RunConfig, audio_to_video, image_to_audio, video_and_audio, video_to_audio
from tests.third_generators import FlowAudio, VelocityVideo

CORE = Path(__file__).resolve().parent.parent / "seeing_core"
AUDIO, VIDEO = FlowAudio(), VelocityVideo()
FRAMES = VideoFrames(torch.rand(9, 3, 20, 30, generator=torch.Generator().manual_seed(1)), 8)
HEARD = Waveform(torch.randn(1, 18000, generator=torch.Generator().manual_seed(2)) * 0.1, 16000)


@pytest.mark.parametrize("preset", ["balanced", "paper", "fast"])
def test_all_tasks_run(exact_binder: ImageBind, exact_audioldm: AudioLDM, exact_animatediff: AnimateDiff, preset: str) -> None:
    sound, moving, both = (RunConfig([1, 2], 3, presets[preset]) for presets in (AUDIO_PRESETS, VIDEO_PRESETS, JOINT_PRESETS))
    for made in (
        video_to_audio(AUDIO, exact_binder, FRAMES, sound, prompt="a bell"),
        image_to_audio(AUDIO, exact_binder, FRAMES.pixels[:1], sound, prompt="a bell", duration_s=1.125),
    ):
        assert [one.samples.shape for one in made.waveforms] == [(2, 49612)] * 2 and made.waveforms[0].rate_hz == 44100
    for one in audio_to_video(VIDEO, exact_binder, HEARD, moving, prompt="a bell").videos:
        assert one.pixels.shape == (9, 3, 32, 32) and one.pixels.std() > 0.01
    for video_model, audio_model in ((VIDEO, AUDIO), (VIDEO, exact_audioldm), (exact_animatediff, AUDIO)):
        made = video_and_audio(video_model, audio_model, exact_binder, both, prompt="a bell", duration_s=1.0)
        assert all(abs(v.duration_s - w.duration_s) < 1e-3 for v, w in zip(made.videos, made.waveforms, strict=True))


def test_a_long_sound_has_windows(exact_binder: ImageBind) -> None:
    run = RunConfig([1], 2, AlignSettings("x0", start_fraction=0.0, sync_weight=1.0), event_times="3, 12")
    made = image_to_audio(AUDIO, exact_binder, FRAMES.pixels[:1], run, duration_s=13.0)
    assert made.waveforms[0].samples.shape == (2, 573300) and set(made.trace.points[0].terms) == {"vision", "sync"}


@pytest.mark.parametrize("mode", ["x0", "unet", "paper"])
def test_guidance_lowers_its_loss(exact_binder: ImageBind, mode: str) -> None:
    settings = AlignSettings(mode, start_fraction=0.5, inner_steps=4)
    for run, made in (
        (RunConfig([seed], 3, settings), task)
        for seed in range(3)
        for task in (
            lambda run: video_to_audio(AUDIO, exact_binder, FRAMES, run),
            lambda run: audio_to_video(VIDEO, exact_binder, HEARD, run),
        )
    ):
        losses = [point.loss for point in made(run).trace.points]
        assert losses[-1] < losses[0]


def test_a_flow_and_a_velocity_are_followed_as_they_should_be(exact_binder: ImageBind) -> None:
    """Against an Euler loop for the flow, and against x0 and eps read off the velocity."""
    audio, video = AUDIO.conditioned(["a bell"], duration_s=1.0), VIDEO.conditioned(["a bell"], duration_s=1.0, fps=8)
    nothing = WeightedLoss({}, [[]])
    z, prompt = audio.initial_noise([4]), audio.initial_prompt(1)
    times = torch.linspace(1 - 1e-3, 0, 6).double()
    for t, later in zip(times, times[1:], strict=False):
        z = z + (later - t) * (AUDIO.net(z) + AUDIO.prompt(prompt)[:, :, None])
    assert torch.allclose(sample([audio], nothing, UNGUIDED, seeds=[4], steps=5)[0], z, atol=1e-9)
    z, prompt = video.initial_noise([4]), video.initial_prompt(1)
    angles = torch.linspace(1.5, 0, 6).double()
    for angle, later in zip(angles, angles[1:], strict=False):
        velocity = VIDEO.net(z) + VIDEO.prompt(prompt)[:, :, None, None, None]
        x0, eps = angle.cos() * z - angle.sin() * velocity, angle.sin() * z + angle.cos() * velocity
        z = later.cos() * x0 + later.sin() * eps
    assert torch.allclose(sample([video], nothing, UNGUIDED, seeds=[4], steps=5)[0], z, atol=1e-9)


def test_frames_decoded_alone_are_those_of_the_whole() -> None:
    video = VIDEO.conditioned(["a bell"], duration_s=1.5, fps=8)
    z = video.initial_noise([1])
    whole = VIDEO.decode(z)
    assert whole.shape[1] >= 12
    for frames in ([0], [3, 5], [11], [0, 4, 8]):
        assert torch.allclose(video.decode(z, frames), whole[:, frames])


def test_the_binder_hears_at_its_own_rate(exact_binder: ImageBind) -> None:
    """The same tone at 44.1 kHz in stereo, through a view, and at 16 kHz."""

    def tone(rate_hz: int) -> Tensor:
        return 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(rate_hz).double() / rate_hz)

    view = AudioView(AUDIO.conditioned(["x"], duration_s=1.0), exact_binder)
    ours, _ = view.embed(tone(44100).expand(1, 1, 2, -1), [0], 0)
    exact = exact_binder.embed_audio(tone(16000)[None], [(0.0, 1.0)])
    assert torch.cosine_similarity(ours.clips[0, 0], exact.clips[0, 0], dim=0) > 0.99


def test_onset_features_of_a_waveform_have_right_gradients() -> None:
    waveform = torch.randn(1, 2, 2000, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    features = waveform_onset_features(waveform, 8000, 8)
    assert features.shape == (1, 26, 8)
    (gradient,) = torch.autograd.grad(features.sum(), waveform)
    way = torch.randn(waveform.shape, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        sides = [waveform_onset_features(waveform + sign * 1e-6 * way, 8000, 8).sum() for sign in (1, -1)]
    assert float((sides[0] - sides[1]) / 2e-6) == pytest.approx(float((gradient * way).sum()), rel=1e-4)


@pytest.mark.parametrize("medium", ["audio", "vision"])
def test_decoding_has_right_gradients(medium: str) -> None:
    generator = (
        AUDIO.conditioned(["x"], duration_s=0.4) if medium == "audio" else VIDEO.conditioned(["x"], duration_s=1.0, fps=8)
    )
    parts = [0] if medium == "audio" else [0, 3, 5]
    x0 = generator.initial_noise([1]).requires_grad_()
    (gradient,) = torch.autograd.grad(generator.decode(x0, parts).square().sum(), x0)
    way = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        sides = [generator.decode(x0 + sign * 1e-6 * way, parts).square().sum() for sign in (1, -1)]
    assert float((sides[0] - sides[1]) / 2e-6) == pytest.approx(float((gradient * way).sum()), rel=1e-5)


def test_a_last_window_of_a_few_samples_is_allowed(exact_binder: ImageBind) -> None:
    duration_s = 172 * 2048 / 44100 + 0.0005  # 22 samples more than one window
    run = RunConfig([1], 1, AlignSettings("x0", start_fraction=0.0))
    made = image_to_audio(AUDIO, exact_binder, FRAMES.pixels[:1], run, duration_s=duration_s)
    assert made.waveforms[0].samples.isfinite().all() and made.trace.points[0].loss > 0


# Whole names too: log_mel, AudioLDM2. Numbers are rates where they have five digits or an underscore.
NAMED = re.compile(r"audioldm|animatediff|imagebind|(?<![a-z])mel(?![a-z])|\b\d{5,}\b|\b\d+_\d{3}\b", re.IGNORECASE)


def test_the_core_names_no_family_no_rate_and_no_mel() -> None:
    assert all(NAMED.search(text) for text in ("AudioLDM", "log_mel", "decode_mels"[:-1], "16000", "44_100", "ImageBind"))
    for path in [*(CORE / "guidance").glob("*.py"), CORE / "tasks.py", CORE / "run.py"]:
        assert not NAMED.findall(path.read_text(encoding="utf-8")), path
