"""Weights in half precision: everything runs, gradients flow, and the result is nearly that of single precision."""

from __future__ import annotations

import pytest
import torch

from seeing_core.binders.imagebind import ImageBind
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.guidance.settings import AUDIO_PRESETS, AlignSettings
from seeing_core.media.types import VideoFrames
from seeing_core.pocket import MODELS_DIR
from seeing_core.tasks import RunConfig, image_to_audio, video_and_audio
from seeing_core.weights import load_animatediff, load_audioldm, load_imagebind

HALVES = [torch.bfloat16, torch.float16]
Models = tuple[AudioLDM, AnimateDiff, ImageBind]


def load(dtype: torch.dtype) -> Models:
    return (
        load_audioldm(MODELS_DIR / "audioldm", dtype=dtype),
        load_animatediff(MODELS_DIR / "animatediff" / "sd", MODELS_DIR / "animatediff" / "motion_adapter", dtype=dtype),
        load_imagebind(MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors", dtype=dtype),
    )


@pytest.fixture(scope="module", params=HALVES, ids=["bf16", "fp16"])
def half(request: pytest.FixtureRequest) -> Models:
    return load(request.param)


@pytest.fixture(scope="module")
def single() -> Models:
    return load(torch.float32)


def test_weights_are_as_asked_but_what_makes_the_wave(half: Models) -> None:
    audioldm, animatediff, binder = half
    dtype = binder.towers.modality_trunks["audio"].blocks[0].norm_1.weight.dtype
    assert dtype in HALVES and audioldm.unet.dtype == audioldm.text_encoder.dtype == animatediff.unet.dtype == dtype
    assert audioldm.vae.dtype == audioldm.vocoder.dtype == torch.float32
    assert animatediff.vae.dtype == (torch.float32 if dtype == torch.float16 else dtype)


def test_embeddings_are_nearly_the_same_and_single(half: Models, single: Models) -> None:
    sound = torch.randn(1, 16000, generator=torch.Generator().manual_seed(1)) * 0.1
    video = VideoFrames(torch.rand(8, 3, 48, 64, generator=torch.Generator().manual_seed(2)), 8)
    for embed in (
        lambda binder: binder.embed_audio(sound, [(0.0, 1.0)]).clips[0],
        lambda binder: binder.embed_text(["a red ball"], "vision"),
        lambda binder: binder.embed_video(video, [(0.0, 1.0)]).clips,
    ):
        ours, exact = embed(half[2]), embed(single[2])
        assert ours.dtype == torch.float32
        assert torch.cosine_similarity(ours, exact).min() > 0.99


def test_the_loss_has_a_gradient(half: Models, single: Models) -> None:
    def gradient(binder: ImageBind) -> torch.Tensor:
        sound = (torch.randn(1, 16000, generator=torch.Generator().manual_seed(1)) * 0.1).requires_grad_()
        target = binder.embed_text(["a red ball"], "vision")
        (1 - torch.cosine_similarity(binder.embed_audio(sound, [(0.0, 1.0)]).clips[0], target)).sum().backward()
        return sound.grad

    ours, exact = gradient(half[2]), gradient(single[2])
    assert ours.isfinite().all() and torch.cosine_similarity(ours, exact).item() > 0.9


def spectrum(samples: torch.Tensor) -> torch.Tensor:
    return torch.stft(samples, 512, window=torch.hann_window(512), return_complex=True).abs().add(1e-4).log().flatten(1)


def test_a_sound_in_half_precision(half: Models, single: Models) -> None:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    run = RunConfig([0], 2, AUDIO_PRESETS["paper"])
    ours, exact = (
        image_to_audio(models[0], models[2], picture, run, prompt="a ball", duration_s=0.6).waveforms[0].samples
        for models in (half, single)
    )
    assert ours.dtype == torch.float32 and ours.isfinite().all()
    assert torch.corrcoef(torch.cat([spectrum(ours), spectrum(exact)]))[0, 1] > 0.8


def test_a_video_and_its_sound_in_half_precision(half: Models) -> None:
    made = video_and_audio(
        half[1], half[0], half[2], RunConfig([0], 2, AlignSettings()), prompt="a ball", duration_s=0.5, fps=4
    )
    assert made.videos[0].pixels.isfinite().all() and made.videos[0].pixels.std() > 0.01
    assert made.waveforms[0].samples.isfinite().all()


def test_a_seed_is_the_same_noise_for_half_precision_weights(half: Models, single: Models) -> None:
    """Made in single precision: rounding through bf16 would make another seed of it."""
    for ours, exact in (
        (half[0].conditioned(["x"], duration_s=0.5), single[0].conditioned(["x"], duration_s=0.5)),
        (half[1].conditioned(["x"], duration_s=0.5, fps=8), single[1].conditioned(["x"], duration_s=0.5, fps=8)),
    ):
        assert torch.equal(ours.initial_noise([3, 4]), exact.initial_noise([3, 4]))
