"""Feature extractors: the built-in ones, and the published ones on random weights in their real file layouts."""

from __future__ import annotations

import math

import pytest
import torch

from seeing_core.errors import InputError
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.metrics.features import (
    look_profile,
    mel_profile,
    sound_extractor,
    video_extractor,
)
from seeing_core.metrics.published import PANNS, _module
from tests.made import bursts, jumping_video
from tests.pocket.world_kinds import KIND_NAMES

NETWORKS = {  # extractor: how its file is made, its features, its logits
    "vggish": (
        lambda: (network := _module("torchvggish", "torchvggish")).VGG(network.make_layers(), False).state_dict(),
        128,
        None,
    ),
    "panns": (lambda: {"iteration": 1, "model": _module("panns_inference", "models").Cnn14(**PANNS).state_dict()}, 2048, 527),
    "i3d": (lambda: _module("cdfvd", "third_party.i3d.pytorch_i3d").InceptionI3d(400, in_channels=3).state_dict(), 400, None),
}


def media(name, long):
    if name == "i3d":
        return jumping_video(40 if long else 5, 8.0, [3])
    return bursts([0.5], 3.0, 44100) if long else bursts([0.1], 0.3)


@pytest.mark.parametrize("name, rows", [("vggish", 3), ("panns", 1), ("i3d", 2)])
def test_published_extractors_on_random_weights(tmp_path, name, rows):
    make, size, classes = NETWORKS[name]
    torch.manual_seed(0)
    torch.save(make(), tmp_path / "weights.pth")
    choose = video_extractor if name == "i3d" else sound_extractor
    extract = choose(f"{name}={tmp_path / 'weights.pth'}")
    for long, count in ((True, rows), (False, 1)):
        features = extract(media(name, long))
        assert features.rows.shape == (count, size) and torch.isfinite(features.rows).all()
        assert (features.logits is None) == (classes is None)
        assert classes is None or features.logits.shape == (classes,)


@pytest.mark.parametrize("name", NETWORKS)
def test_absent_weights_are_named(tmp_path, name):
    choose = video_extractor if name == "i3d" else sound_extractor
    with pytest.raises(InputError, match="no such file; expected weights on this disk; nothing is downloaded"):
        choose(f"{name}={tmp_path / 'absent.pth'}")


def test_weights_that_do_not_fit_are_named(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    for name in ("other.pth", "page.pth"):
        with pytest.raises(InputError, match=f"{name}.*does not fit.*expected weights of InceptionI3d"):
            video_extractor(f"i3d={tmp_path / name}")


def test_absent_packages_are_named():
    with pytest.raises(InputError, match="no package 'package_that_is_not_there'.*pip install -r requirements-eval.txt"):
        _module("package_that_is_not_there", "models")


def test_mel_profile_tells_sounds_apart():
    low, high = (Waveform(torch.sin(2 * math.pi * hz / 16000 * torch.arange(32000))[None], 16000) for hz in (200, 4000))
    rows = [mel_profile(sound).rows for sound in (low, high)]
    assert rows[0].shape == (1, 64) and rows[0][0, :32].argmax() < 8 < 16 < rows[1][0, :32].argmax()
    assert torch.isfinite(mel_profile(Waveform(torch.zeros(1, 5), 48000)).rows).all()


def test_look_profile_tells_videos_apart():
    still, moving = (look_profile(jumping_video(30, 8.0, jumps)).rows for jumps in ([], [5, 9, 20]))
    assert still.shape == (1, 96) and not still[0, 48:].any() and moving[0, 48:].sum() > 0
    red = look_profile(VideoFrames(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 8, 8), 8.0)).rows
    assert red[0].tolist() == [1.0] * 16 + [0.0] * 80


def test_pocket_judge_as_an_extractor():
    features = sound_extractor("tests.pocket.judge_scores:judged_sound")(bursts([0.2, 0.9], 2.0))
    assert features.rows.ndim == 2 and features.logits.shape == (len(KIND_NAMES),)


def test_names():
    assert sound_extractor("none") is None and video_extractor("none") is None
    assert sound_extractor("seeing_core.metrics.features:mel_profile") is mel_profile
    for name in ("vgg", "i3d=weights.pth", "vggish="):
        with pytest.raises(InputError, match="sound features: received .* expected one of none, mel, vggish=FILE"):
            sound_extractor(name)
    with pytest.raises(InputError, match="cannot be imported"):
        video_extractor("seeing_core.metrics.features:nothing")
