"""PE-AV as a binder: equal to the library's own embeddings, differentiable from samples and pixels, and able to tell when."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from seeing_core.binders.base import Binder, embed_waveform
from seeing_core.binders.pe_av import PeAv
from seeing_core.errors import InputError
from seeing_core.guidance.settings import AlignSettings
from seeing_core.guidance.sync import moments_distance
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.tasks import RunConfig, video_to_audio
from seeing_core.weights import load_pe_av
from tests.pe_av_folders import write_pe_av

PROMPTS = ["a red ball", "rain on the roof of a car"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pe_av(tmp_path_factory.mktemp("pe_av") / "pe-av-stand-in")


@pytest.fixture(scope="module")
def pe_av(folder: Path) -> PeAv:
    return load_pe_av(folder)


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("frames", [0, 16])
def test_embeddings_are_the_librarys_own(frames: int, tmp_path: Path) -> None:
    """Through its processor and its whole model; a sound whose length is no multiple of the codec's hop."""
    from transformers import AutoProcessor, PeAudioVideoModel

    folder = write_pe_av(tmp_path / "model", frames=frames)
    ours, model = load_pe_av(folder), PeAudioVideoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    samples, pixels = 2 * random(1, 48700) - 1, random(40, 3, 100, 80)
    heard = processor.feature_extractor([samples[0].numpy()], sampling_rate=48000, return_tensors="pt")
    chosen = [int(i * 39 / 15) for i in range(16)] if frames else range(40)
    seen = processor.video_processor(pixels[list(chosen)], do_rescale=False, do_sample_frames=False, return_tensors="pt")
    said = processor.tokenizer(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(
            **said,
            pixel_values_videos=seen["pixel_values_videos"].repeat(2, 1, 1, 1, 1),
            input_values=heard["input_values"].repeat(2, 1, 1),
        )
    video = VideoFrames(pixels, 20.0)
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(ours.embed_audio(samples, [(0.0, 48700 / 48000)]).clips[0, 0], expected.audio_embeds[0], **close)
    torch.testing.assert_close(ours.embed_video(video, [(0.0, 2.0)]).clips[0], expected.video_embeds[0], **close)
    torch.testing.assert_close(ours.embed_text(PROMPTS, "audio"), expected.text_audio_embeds, **close)
    torch.testing.assert_close(ours.embed_text(PROMPTS, "vision"), expected.text_video_embeds, **close)


def test_gradients_are_those_of_finite_differences(folder: Path) -> None:
    exact = load_pe_av(folder).double()
    samples, frames = 2 * random(1, 9600).double() - 1, random(5, 3, 40, 40).double()

    def heard(x: Tensor) -> Tensor:
        clips, over_time = exact.embed_audio(x, [(0.0, 0.2)])
        return clips.square().sum() + over_time.sin().sum()

    def seen(x: Tensor) -> Tensor:
        clips, over_time = exact.embed_frames(exact.preprocess_frames(x)[None], torch.arange(5)[None])
        return clips.square().sum() + over_time.sin().sum()

    for function, inputs in ((heard, samples), (seen, frames)):
        at = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(at), at)
        direction = gradient / gradient.norm()
        # The library takes norms and angles in single precision, in whose rounding a smaller step drowns; of two steps the
        # errors of second order cancel (Richardson).
        slopes = [
            (function(inputs + step * direction) - function(inputs - step * direction)) / (2 * step) for step in (0.05, 0.1)
        ]
        torch.testing.assert_close((4 * slopes[0] - slopes[1]) / 3, gradient.norm(), rtol=1e-3, atol=0)


def test_segments_of_different_lengths_are_each_embedded_as_alone(pe_av: PeAv) -> None:
    """As the last window of a long sound is: moments are then those of the longest, spread evenly."""
    samples, segments = 2 * random(1, 72000) - 1, [(0.0, 1.0), (1.0, 1.5)]
    together = pe_av.embed_audio(samples, segments)
    assert together.over_time.shape[:3] == (1, 2, 25)
    for number, segment in enumerate(segments):
        alone = pe_av.embed_audio(samples, [segment])
        torch.testing.assert_close(together.clips[:, number], alone.clips[:, 0])
    torch.testing.assert_close(together.over_time[:, 0], pe_av.embed_audio(samples, segments[:1]).over_time[:, 0])


def test_samples_of_a_batch_do_not_see_each_other(pe_av: PeAv) -> None:
    samples = 2 * random(2, 48000) - 1
    both = pe_av.embed_audio(samples, [(0.0, 1.0)]).clips
    torch.testing.assert_close(both[1], pe_av.embed_audio(samples[1:], [(0.0, 1.0)]).clips[0])


def test_a_fast_video_is_seen_25_times_a_second_and_a_slow_one_whole(pe_av: PeAv) -> None:
    fast, slow = torch.arange(120) / 60, torch.arange(16) / 8
    wanted, index = pe_av.sample_frame_indices(fast.double(), [(0.0, 2.0)])
    assert len(wanted) == 50 and wanted[0] == 0 and wanted[-1] == 119 and index.shape == (1, 50)
    wanted, index = pe_av.sample_frame_indices(slow.double(), [(0.0, 1.0), (1.0, 2.0)])
    assert wanted == list(range(16)) and index.tolist() == [list(range(8)), list(range(8, 16))]


def test_moments_of_a_video_are_those_of_the_frame_on_screen(pe_av: PeAv) -> None:
    """4 frames in a second, the last on screen from 0.28 s on: 25 moments."""
    pixels = random(4, 3, 20, 20)

    class Uneven(VideoFrames):
        times_s = torch.tensor([0.0, 0.08, 0.16, 0.28], dtype=torch.float64)

    moments = pe_av.embed_video(Uneven(pixels, 4.0), [(0.0, 1.0)]).over_time[0]
    own = pe_av.embed_frames(pe_av.preprocess_frames(pixels)[None], torch.arange(4)[None]).over_time[0, 0]
    torch.testing.assert_close(moments, own[torch.tensor([0, 0, 1, 1, 2, 2, 2] + [3] * 18)])


def test_something_long_has_segments_of_equal_length(pe_av: PeAv) -> None:
    assert pe_av.clip_segments(2.5) == [(0.0, 2.5)]
    assert pe_av.clip_segments(20.0) == [(0.0, 10.0), (10.0, 20.0)]


def test_the_end_of_a_prompt_that_is_not_read_is_named(pe_av: PeAv) -> None:
    assert pe_av.unread("a red ball") == ""
    words = " ".join(f"word{i}" for i in range(600))
    assert words.endswith(pe_av.unread(words)) and pe_av.unread(words)


def test_moments_fit_best_at_no_offset() -> None:
    """A random walk against itself: 0; moved by half a second: worse than knowing nothing; unrelated: about 1."""
    walk = torch.randn(2, 1, 50, 8, generator=torch.Generator().manual_seed(3))
    other = torch.randn(2, 1, 50, 8, generator=torch.Generator().manual_seed(4))
    assert moments_distance(walk, walk).max() < 0.05
    assert moments_distance(walk.roll(12, -2), walk).min() > 1.5
    assert (moments_distance(other, walk) - 1).abs().max() < 0.5
    still = torch.ones(2, 1, 50, 8)
    torch.testing.assert_close(moments_distance(still, walk), torch.ones(2))  # what does not change says nothing of when
    assert moments_distance(walk[:, :, :3], walk).tolist() == [0.0, 0.0]  # too short to tell


def test_moments_are_compared_at_the_same_times_at_any_rate() -> None:
    fine = torch.randn(1, 1, 48, 8, generator=torch.Generator().manual_seed(5)).cumsum(2)
    coarse = fine.unflatten(2, (16, 3)).mean(3)
    assert moments_distance(coarse, fine) < 0.5 * moments_distance(coarse.roll(4, 2), fine)


@pytest.mark.parametrize("preset", [AlignSettings("x0", moment_weight=1.0), AlignSettings("paper")])
def test_video_to_audio_follows_it(preset: AlignSettings, audioldm: object, pe_av: PeAv, video: VideoFrames) -> None:
    result = video_to_audio(audioldm, pe_av, video, RunConfig(steps=3, settings=preset), prompt="rain", duration_s=1.0)
    assert result.waveforms[0].samples.isfinite().all()
    assert ("moments" in result.trace.points[0].terms) == (preset.moment_weight > 0)


def test_a_moment_weight_of_zero_is_the_loss_without_it(audioldm: object, pe_av: PeAv, video: VideoFrames) -> None:
    """And a binder that cannot tell when has no such term at any weight."""
    losses = {}
    for weight in (0.0, 1.0):
        settings = AlignSettings("x0", moment_weight=weight)
        trace = video_to_audio(audioldm, pe_av, video, RunConfig(steps=3, settings=settings), duration_s=1.0).trace
        losses[weight] = trace.points[0].terms["vision"]
    torch.testing.assert_close(losses[0.0], losses[1.0])


def test_image_bind_has_no_moments(audioldm: object, binder: Binder, video: VideoFrames) -> None:
    made = [
        video_to_audio(
            audioldm, binder, video, RunConfig(steps=3, settings=AlignSettings("x0", moment_weight=weight)), duration_s=1.0
        )
        for weight in (0.0, 1.0)
    ]
    assert torch.equal(made[0].waveforms[0].samples, made[1].waveforms[0].samples)


def test_any_rate_is_brought_to_its_own(pe_av: PeAv) -> None:
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(48000) / 48000)[None]
    exact = embed_waveform(pe_av, Waveform(tone, 48000), [(0.0, 1.0)]).clips
    from_16k = embed_waveform(pe_av, Waveform(tone[:, ::3], 16000), [(0.0, 1.0)]).clips
    torch.testing.assert_close(from_16k, exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_single_precision_embeddings(dtype: torch.dtype, folder: Path, pe_av: PeAv) -> None:
    half = load_pe_av(folder, dtype=dtype)
    samples = 2 * random(1, 24000) - 1
    ours, exact = (one.embed_audio(samples, [(0.0, 0.5)]).clips for one in (half, pe_av))
    assert ours.dtype == torch.float32
    assert torch.cosine_similarity(ours, exact, dim=-1).min() > 0.99


def changed(folder: Path, target: Path, **tensors: Tensor | None) -> Path:
    """A copy with these weights in place of its own; None leaves one out."""
    shutil.copytree(folder, target)
    state = load_file(target / "model.safetensors")
    for name, value in tensors.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    return target


HEAD = "audio_model.audio_head.proj.weight"


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({HEAD: None}, f"1 missing ({HEAD})"),
        ({HEAD: torch.zeros(3, 4)}, f"1 wrong shape ({HEAD} (3, 4), not (32, 32))"),
        ({HEAD: torch.full((32, 32), torch.nan)}, f"NaN or infinite weights ({HEAD})"),
        ({"other.weight": torch.zeros(3)}, "1 unexpected (other.weight)"),
    ],
)
def test_weights_that_do_not_fit_are_named(tensors: dict[str, Tensor | None], says: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_pe_av(changed(folder, tmp_path / "copy", **tensors))
    assert says in str(error.value)


def test_another_model_is_refused_by_its_type(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(InputError, match="a model of type 'bert'"):
        load_pe_av(other)
    with pytest.raises(InputError, match="no readable config.json"):
        load_pe_av(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "processor_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    lacking = shutil.copytree(folder, tmp_path / "lacking")
    (lacking / name).unlink()
    with pytest.raises(InputError, match="PE-AV folder"):
        load_pe_av(lacking)


def test_a_damaged_file_is_refused(folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="files that cannot be read"):
        load_pe_av(damaged)


def test_without_timm_a_sentence_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "timm" else found(name, *more))
    with pytest.raises(InputError, match="pip install timm"):
        load_pe_av(folder)


def test_its_own_vocabulary_replaces_the_packs(folder: Path, tmp_path: Path, pe_av: PeAv) -> None:
    assert len(pe_av.vocabulary) > 100
    own = shutil.copytree(folder, tmp_path / "own")
    (own / "vocabulary.txt").write_text("# things\na bell\nrain\n")
    assert load_pe_av(own).vocabulary == ("a bell", "rain")
