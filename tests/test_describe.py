"""Describe: phrases ranked by the binder."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from seeing_core.binders.imagebind import ImageBind
from seeing_core.binders.phrases import read_phrases, shipped_phrases
from seeing_core.captions.describe import describe
from seeing_core.errors import InputError
from seeing_core.guidance.targets import Images
from seeing_core.media.types import Video, VideoFrames, Waveform
from seeing_core.pocket import MODELS_DIR
from seeing_core.weights import load_imagebind
from tests.pocket.world import TEST_SEEDS, make_clip
from tests.pocket.world_kinds import KINDS, precise_captions

PHRASES = ["a dog barking", "rain on a roof", "a bell", "applause", "a train", "the sea"]


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


MEDIA = {
    "stills": Images(noise(3, 3, 24, 32)),
    "video": VideoFrames(noise(16, 3, 24, 32), 8),
    "sound": Waveform(noise(2, 44100) - 0.5, 44100),
}


def text_calls(binder: ImageBind) -> list[int]:
    """Collects the batch sizes of the text tower from now on."""
    sizes: list[int] = []
    binder.towers.modality_preprocessors["text"].register_forward_pre_hook(
        lambda module, args, named: sizes.append(len(named["text"])), with_kwargs=True
    )
    return sizes


@pytest.mark.parametrize("kind", MEDIA)
def test_the_best_phrases_come_first_with_their_cosines(binder: ImageBind, kind: str) -> None:
    matches = describe(binder, MEDIA[kind], PHRASES, count=4)
    scores = {match.phrase: match.score for match in describe(binder, MEDIA[kind], PHRASES, count=100)}
    assert len(scores) == len(PHRASES)
    assert [match.phrase for match in matches] == sorted(scores, key=scores.get, reverse=True)[:4]
    assert all(-1 <= score <= 1 for score in scores.values()) and len(set(scores.values())) > 1


def test_a_score_is_the_cosine_of_media_and_phrase(binder: ImageBind) -> None:
    video = MEDIA["video"]
    seen = binder.embed_video(video, binder.clip_segments(video.duration_s)).clips.mean(0)
    for match in describe(binder, video, PHRASES, count=6):
        wanted = cosine_similarity(seen, binder.embed_text([match.phrase], "vision")[0], dim=0)
        assert match.score == pytest.approx(wanted.item(), abs=1e-5)


def test_equal_phrases_keep_the_lists_order(binder: ImageBind) -> None:
    same = ["a bell", "A bell", "a BELL"]  # the tokenizer reads small letters only
    assert [match.phrase for match in describe(binder, MEDIA["sound"], same, 3)] == same


def test_phrases_are_read_in_batches_and_once(fresh_binder: ImageBind) -> None:
    phrases = shipped_phrases()
    sizes = text_calls(fresh_binder)
    describe(fresh_binder, MEDIA["video"], phrases)
    assert sum(sizes) == len(phrases) and len(sizes) <= 8
    sizes.clear()
    describe(fresh_binder, MEDIA["sound"], phrases)
    assert not sizes


def test_a_batch_of_phrases_embeds_as_each_alone(fresh_binder: ImageBind) -> None:
    phrases = shipped_phrases()[:100]
    together = fresh_binder.embed_text(phrases, "vision")
    alone = torch.cat([fresh_binder.embed_text([phrase], "vision") for phrase in phrases])
    assert (cosine_similarity(together, alone) > 1 - 1e-6).all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_the_shipped_list_is_short_phrases_that_the_binder_reads_whole(binder: ImageBind) -> None:
    phrases = shipped_phrases()
    assert 300 <= len(phrases) <= 500 and len({phrase.lower() for phrase in phrases}) == len(phrases)
    assert all(phrase.isascii() and 1 <= len(phrase.split()) <= 9 for phrase in phrases)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        binder.embed_text(phrases, "vision")


def test_phrases_are_read_one_a_line() -> None:
    assert read_phrases("  a dog \n\n# a note\r\na  cat\na dog\n") == ["a dog", "a cat"]
    assert read_phrases(" \n#\n") == []


@pytest.mark.parametrize(
    "media, phrases, count, words",
    [
        (MEDIA["video"], [], 3, "phrases"),
        (MEDIA["video"], PHRASES, 0, "count"),
        (MEDIA["video"], [f"phrase {number}" for number in range(5001)], 3, "5001"),
        (Images(noise(65, 3, 4, 4)), PHRASES, 3, "65 of them"),
        (Waveform(noise(1, 1000), 16000), PHRASES, 3, "duration of the sound"),
    ],
)
def test_bad_input_is_named(
    binder: ImageBind, media: Images | Video | Waveform, phrases: list[str], count: int, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        describe(binder, media, phrases, count)


def test_a_damaged_binder_is_named(fresh_binder: ImageBind) -> None:
    fresh_binder.towers.modality_preprocessors["text"].mask.fill_(float("nan"))
    with pytest.raises(InputError, match="not numbers"):
        describe(fresh_binder, MEDIA["video"], PHRASES)


def test_the_pocket_binder_names_the_kind_of_fresh_clips() -> None:
    binder = load_imagebind(Path(MODELS_DIR) / "imagebind" / "imagebind_pocket.safetensors")
    names = {precise_captions(kind)[0]: kind.name for kind in KINDS}
    clips = [make_clip(TEST_SEEDS + 5000 + number) for number in range(24)]
    for medium in (
        lambda clip: VideoFrames(clip.frames, clip.fps),
        lambda clip: Images(clip.frames[::8]),
        lambda clip: Waveform(clip.samples[None], clip.rate_hz),
    ):
        best = [describe(binder, medium(clip), list(names), 1)[0].phrase for clip in clips]
        assert sum(names[phrase] == clip.kind for phrase, clip in zip(best, clips, strict=True)) >= 21
