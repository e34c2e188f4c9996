"""The pocket video model: strict loads of its files, judged pictures, judged clips."""

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.pocket import MODELS_DIR
from seeing_core.weights import load_animatediff
from tests.pocket.training.picture_text import tokenize
from tests.pocket.training.picture_vae import picture_vae_scores
from tests.pocket.training.video_models import build_motion_adapter, build_unet, split
from tests.pocket.training.video_sampling import sample_clips, share_right
from tests.pocket.world import TEST_SEEDS, make_clip
from tests.pocket.world_kinds import KIND_NAMES, KINDS, precise_captions

FOLDER = MODELS_DIR / "animatediff"
WEIGHTS = {
    "unet": (UNet2DConditionModel, FOLDER / "sd" / "unet", "diffusion_pytorch_model.safetensors"),
    "vae": (AutoencoderKL, FOLDER / "sd" / "vae", "diffusion_pytorch_model.safetensors"),
    "motion_adapter": (MotionAdapter, FOLDER / "motion_adapter", "diffusion_pytorch_model.safetensors"),
    "text_encoder": (CLIPTextModel, FOLDER / "sd" / "text_encoder", "model.safetensors"),
}


@pytest.fixture(scope="module")
def model() -> AnimateDiff:
    return load_animatediff(FOLDER / "sd", FOLDER / "motion_adapter")


@pytest.mark.parametrize("name", WEIGHTS)
def test_files_hold_exactly_the_weights_of_their_class(name: str) -> None:
    model_class, folder, file_name = WEIGHTS[name]
    model, report = model_class.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    stored = load_file(folder / file_name)
    assert all(value.dtype == torch.float16 and value.isfinite().all() for value in stored.values())
    model.load_state_dict(stored, strict=True)


def test_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.safetensors")) <= 4.55e6


def test_scheduler_is_animatediffs() -> None:
    config = DDIMScheduler.from_pretrained(FOLDER / "sd" / "scheduler").config
    found = {key: config[key] for key in ("beta_start", "beta_end", "beta_schedule", "steps_offset", "clip_sample")}
    assert found == {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "linear",
        "steps_offset": 1,
        "clip_sample": False,
    }


def test_joined_model_splits_into_the_same_files(model: AnimateDiff) -> None:
    unet, adapter = split(model.unet)
    again = UNetMotionModel.from_unet2d(unet, adapter).eval()
    generator = torch.Generator().manual_seed(0)
    z, text = torch.randn(1, 4, 16, 8, 8, generator=generator), torch.randn(16, 77, 64, generator=generator)
    with torch.no_grad():
        first, second = model.unet(z, 500, text).sample, again(z, 500, text).sample
    assert torch.equal(first, second)


def test_unet_starts_as_a_copy_of_its_input() -> None:
    torch.manual_seed(0)
    model = UNetMotionModel.from_unet2d(build_unet(), build_motion_adapter())
    z, text = torch.randn(2, 4, 16, 8, 8), torch.randn(32, 77, 64)
    with torch.no_grad():
        assert (model(z, 700, text).sample - z).square().mean() < 1e-4


def test_any_text_becomes_77_tokens_and_comes_back() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(FOLDER / "sd" / "tokenizer")
    texts = ["a red ball bouncing", "caf\u00e9 \u65e5\u672c\u8a9e 123 ?!", "", "word " * 500]
    ids = tokenize(tokenizer, texts)
    assert ids.shape == (4, 77)
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == texts[0]
    assert tokenizer.decode(ids[1], skip_special_tokens=True).replace(" ", "") == texts[1].replace(" ", "")


def test_latents_have_the_scale_of_stable_diffusion(model: AnimateDiff) -> None:
    frames = torch.cat([make_clip(TEST_SEEDS + 500 + i).frames for i in range(24)])
    with torch.no_grad():
        z = model.vae.encode(frames * 2 - 1).latent_dist.mode() * model.vae.config.scaling_factor
    assert 0.8 < z.std() < 1.25 and z.mean().abs() < 0.2


def test_judge_on_vae_reconstructions(model: AnimateDiff) -> None:
    """At least 97 % of 96 fresh clips keep their kind, and the event times stay where they were."""
    scores = picture_vae_scores(model.vae)
    assert scores["kind_right"] >= 0.97
    assert scores["events_rebuilt"] >= 0.97 * scores["events_real"]


def test_precise_captions_are_followed(model: AnimateDiff) -> None:
    """A fresh clip of each kind. At a true rate of 97 %, fewer than 7 of 8 right has a chance of 2 %; by luck, 3e-6."""
    prompts = [precise_captions(kind)[0] for kind in KINDS]
    clips = sample_clips(model, prompts, [TEST_SEEDS + 900 + i for i in range(len(KINDS))])
    assert share_right(clips, list(KIND_NAMES)) >= 13 / 16
    moved = (clips[:, 1:] - clips[:, :-1]).abs().amax((2, 3, 4))  # (8, 15)
    assert (moved.amax(1) > 0.2).all()
