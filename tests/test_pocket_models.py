"""The trained pocket models load by the ordinary loaders and do what they were trained for, on fresh clips."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn.functional import cosine_similarity
from transformers import AutoTokenizer, ClapTextModelWithProjection, SpeechT5HifiGan

from seeing_core.binders.base import Binder, embed_waveform
from seeing_core.binders.imagebind import ImageBind, build
from seeing_core.binders.imagebind_inputs import (
    clip_segments,
    frame_indices,
)
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.guidance.sync import moments_distance
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.pocket import MODELS_DIR
from seeing_core.weights import load_audioldm, load_pe_av
from tests.made import vision_input
from tests.pocket.judges import judge_sound_kind
from tests.pocket.train import COMMAND, NEEDS, STAGES, trainer
from tests.pocket.training.binder import picture_input
from tests.pocket.training.clap import embed
from tests.pocket.training.mel import LogMel
from tests.pocket.training.scoring import (
    generate_sounds,
    generated_kinds,
    rebuilt_scores,
)
from tests.pocket.training.scoring_binder import binder_scores, trait_scores
from tests.pocket.world import TEST_SEEDS, make_clip
from tests.pocket.world_kinds import KIND_NAMES, KINDS, kind_index, precise_captions

AUDIO = MODELS_DIR / "audioldm"
BINDER = MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors"
PE_AV = MODELS_DIR / "pe_av"


@pytest.fixture(scope="module")
def audio() -> AudioLDM:
    return load_audioldm(AUDIO)


@pytest.fixture(scope="module", params=["imagebind", "pe_av"])
def binder(request: pytest.FixtureRequest) -> Binder:
    if request.param == "pe_av":
        return load_pe_av(PE_AV)
    with safe_open(BINDER, "pt") as file:
        config = json.loads(file.metadata()["config"])
    towers = build(config)
    towers.load_state_dict(load_file(BINDER), strict=True)
    return ImageBind(towers)


@pytest.mark.parametrize(
    ("part", "model_class"),
    [
        ("unet", UNet2DConditionModel),
        ("vae", AutoencoderKL),
        ("text_encoder", ClapTextModelWithProjection),
        ("vocoder", SpeechT5HifiGan),
    ],
)
def test_every_weight_is_in_its_file(part: str, model_class: type) -> None:
    model, report = model_class.from_pretrained(AUDIO / part, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert all(torch.isfinite(value).all() for value in model.state_dict().values() if value.is_floating_point())


def test_formats_are_audioldms(audio: AudioLDM) -> None:
    index = json.loads((AUDIO / "model_index.json").read_text())
    assert {"unet", "vae", "text_encoder", "tokenizer", "vocoder", "scheduler"} <= set(index)
    assert audio.unet.config.class_embed_type == "simple_projection" and audio.unet.config.class_embeddings_concat
    assert audio.unet.config.projection_class_embeddings_input_dim == audio.text_encoder.config.projection_dim
    assert tuple(audio.unet.config.cross_attention_dim) == tuple(audio.unet.config.block_out_channels)
    assert audio.vae.config.latent_channels == 8 and len(audio.vae.config.block_out_channels) == 3
    assert audio.vocoder.config.upsample_rates == [5, 4, 2, 2, 2]
    assert audio.vocoder(torch.zeros(2, 50, 64)).shape == (2, 8000)
    scheduler = DDIMScheduler.from_pretrained(AUDIO / "scheduler").config
    assert (scheduler.beta_start, scheduler.beta_end, scheduler.beta_schedule) == (0.0015, 0.0195, "scaled_linear")
    assert not scheduler.clip_sample and not scheduler.set_alpha_to_one and scheduler.steps_offset == 1


def test_latents_have_unit_spread(audio: AudioLDM) -> None:
    samples = torch.stack([make_clip(TEST_SEEDS + i, 2.24).samples for i in range(16)])
    with torch.no_grad():
        latent = audio.vae.encode(LogMel()(samples)[:, None]).latent_dist.mean * audio.vae.config.scaling_factor
    assert latent.shape == (16, 8, 56, 16)
    assert 0.85 < latent.std() < 1.15


def test_the_files_are_small() -> None:
    size = {path: path.stat().st_size for path in MODELS_DIR.rglob("*.safetensors")}
    assert size.pop(PE_AV / "model.safetensors") <= 6_000_000
    assert sum(size.values()) <= 12_000_000
    assert sum(bytes_ for path, bytes_ in size.items() if AUDIO in path.parents or path == BINDER) <= 7_500_000
    for path in size:
        dtypes = {value.dtype for value in load_file(path).values() if value.is_floating_point()}
        assert dtypes == {torch.float16}, path


def test_any_text_is_encoded(audio: AudioLDM) -> None:
    tokenizer = AutoTokenizer.from_pretrained(AUDIO / "tokenizer")
    for text in ("a red ball bouncing", "Zażółć gęślą jaźń 42%", "", "x" * 500):
        ids = tokenizer(text, truncation=True, max_length=tokenizer.model_max_length).input_ids
        assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
        assert tokenizer.unk_token_id not in ids
        assert len(ids) <= 77 and torch.isfinite(embed(audio.text_encoder, tokenizer, [text])).all()
    assert tokenizer.decode(tokenizer("a red ball").input_ids, skip_special_tokens=True).strip() == "a red ball"


def test_rebuilt_sounds_keep_kind_and_times(audio: AudioLDM) -> None:
    scores = rebuilt_scores(audio.vae, audio.vocoder, 96)
    assert scores["kind_right"] >= 0.97
    assert scores["event_f1"] >= 0.95


def test_unguided_sounds_follow_a_precise_caption(audio: AudioLDM) -> None:
    pairs = generated_kinds(audio, 0, 24, first_seed=TEST_SEEDS + 2000, batch=12)
    assert sum(true == judged for true, judged in pairs) >= 22


def test_an_ambiguous_caption_leaves_the_kind_open(audio: AudioLDM) -> None:
    waveforms = generate_sounds(audio, ["something making a sound"] * 16, 1.28, first_seed=3, steps=15)
    assert len({judge_sound_kind(sound)[0] for sound in waveforms}) >= 3


def test_training_saw_the_binders_own_input() -> None:
    clip = make_clip(TEST_SEEDS + 9, 3.0)
    video = VideoFrames(clip.frames, clip.fps)
    picks = torch.stack([clip.frames[frame_indices(video.times_s, segment)] for segment in clip_segments(3.0)])
    torch.testing.assert_close(picture_input(picks)[:, 0], vision_input(video, clip_segments(3.0)))


def test_binder_tells_kinds_apart(binder: Binder) -> None:
    scores = binder_scores(binder, 64)
    assert min(scores["picture_text_right"], scores["sound_text_right"], scores["picture_sound_right"]) >= 0.95
    assert scores["own_cosine"] >= 0.45


@pytest.mark.parametrize("binder", ["imagebind"], indirect=True)
def test_binder_tells_the_traits_that_no_word_says(binder: Binder) -> None:
    scores = trait_scores(binder, 64)
    assert scores["seen_size"] > 0.7 and scores["heard_size"] > 0.6 and scores["heard_force"] > 0.3, scores


@pytest.mark.parametrize("beside", ["vision", "audio"])
def test_binder_keeps_ambiguous_captions_in_the_middle(binder: Binder, beside: str) -> None:
    texts = binder.embed_text([precise_captions(kind)[0] for kind in KINDS], beside)
    vague = binder.embed_text(["something making a sound"], beside)
    to_kinds = cosine_similarity(vague, texts)
    own = cosine_similarity(texts, binder.embed_text([precise_captions(kind)[3] for kind in KINDS], beside))
    assert to_kinds.max() < own.min() - 0.1, (to_kinds, own)
    assert cosine_similarity(texts[:1], texts[1:]).max() < 0.5


def test_gradient_through_decoder_vocoder_and_binder_leads_to_the_pictured_kind(binder: Binder, audio: AudioLDM) -> None:
    """A latent half way between two kinds, moved a little along the gradient towards a picture, sounds more like it."""
    for part in (audio.vae, audio.vocoder):
        part.requires_grad_(False)
    segments, rises, right = binder.clip_segments(2.0), 0, 0
    for shown, other in zip(KIND_NAMES, KIND_NAMES[3:] + KIND_NAMES[:3]):
        clips = [make_clip(TEST_SEEDS + 3000 + KIND_NAMES.index(shown), kind=kind) for kind in (shown, other)]
        target = binder.embed_video(VideoFrames(clips[0].frames, 8.0), segments).clips.mean(0, keepdim=True)
        mels = LogMel()(torch.stack([clip.samples for clip in clips]))
        latent = audio.vae.encode(mels[:, None]).latent_dist.mean.mean(0, keepdim=True).requires_grad_()
        margins = []
        for step in range(11):
            sound = audio.vocoder(audio.vae.decode(latent).sample[:, 0])
            if step in (0, 10):
                judged, scores = judge_sound_kind(sound[0])
                margins.append(scores[kind_index(shown)] - scores[kind_index(other)])
            loss = 1 - cosine_similarity(binder.embed_audio(sound, segments).clips.mean(1), target).mean()
            (gradient,) = torch.autograd.grad(loss, latent)
            latent = (latent - 0.1 * latent.std() * gradient / gradient.std()).detach().requires_grad_()
        rises, right = rises + bool(margins[1] > margins[0]), right + (judged == shown)
    assert rises >= 6 and right >= 5


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_of_the_training_has_its_function(stage: str) -> None:
    assert callable(trainer(stage))


def test_a_stage_comes_after_those_it_needs() -> None:
    assert all(STAGES.index(needed) < STAGES.index(stage) for stage, all_needed in NEEDS.items() for needed in all_needed)


def test_the_card_says_how_it_was_made() -> None:
    card = json.loads((MODELS_DIR / "card.json").read_text())
    stages = {stage["stage"]: stage for stage in card["stages"]}
    assert {"mel_vae", "vocoder", "binder", "clap", "audio_unet", "pe_av"} <= set(stages)
    assert card["command"] == COMMAND
    assert all(stage["seconds"] > 0 and stage["steps"] > 0 and stage["losses"] for stage in stages.values())
    assert (MODELS_DIR / "CARD.md").exists()


def test_the_pocket_pe_av_tells_when() -> None:
    """48 fresh clips: their own sounds fit them in time, those of others do not."""
    binder, whole = load_pe_av(PE_AV), [(0.0, 2.0)]
    clips = [make_clip(TEST_SEEDS + 700 + i) for i in range(48)]
    seen = torch.stack([binder.embed_video(VideoFrames(clip.frames, clip.fps), whole).over_time for clip in clips])
    heard = torch.stack([embed_waveform(binder, Waveform(clip.samples[None], clip.rate_hz), whole).over_time for clip in clips])
    own, others = moments_distance(seen, heard).mean(), moments_distance(seen, heard.roll(1, 0)).mean()
    assert own < 1 < others and own < 0.75 * others, (own, others)
