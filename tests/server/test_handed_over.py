"""Media as ComfyUI's own nodes and other packs hand them over: what they show is what is seen, heard and muxed."""

from __future__ import annotations

import pytest

from scripts.comfy_server import COMFYUI, ROOT
from tests.server.own_process import run_script

EXPECTED = {
    "lazy": [8000, 2, 8000],
    "grey": True,
    "alpha": [2, 3, 8, 8],
    "beyond": [0.0, 0.5, 1.0],
    "file": ["VideoFile", 3, 48, 64, 8, 1.0],
    "trimmed": ["VideoFile", 3, 48, 64, 2, 0.25],
    "trimmed from the end": ["VideoFile", 3, 48, 64, 2, 0.25],
    "cropped": ["VideoFrames", 3, 24, 32, 8, 1.0],
    "components": ["VideoFrames", 3, 48, 64, 8, 1.0],
    "looped": ["VideoFrames", 3, 48, 64, 16, 2.0],
    "replace": {"tracks": [1], "size": [64, 48], "middle": [0.1]},
    "mix": {"tracks": [2], "size": [64, 48], "middle": [0.3, -0.4]},
    "mix of components": {"tracks": [2], "size": [64, 48], "middle": [0.3, -0.4]},
    "add a track": {"tracks": [2, 1], "size": [64, 48], "middle": [0.2, -0.5]},
    "mix of a silent one": {"tracks": [1], "size": [64, 48], "middle": [0.1]},
    "mix of images": {"tracks": [1], "size": [64, 48], "middle": [0.1]},
    "cropped and muxed": {"tracks": [1], "size": [32, 24], "middle": [0.1]},
    "events of images": ["1.062", [1.062], [1, 720, 1200, 3]],
    "no events": ["", [], [1, 720, 1200, 3]],
    "louder": {"tracks": [1], "size": [64, 48], "middle": [0.2]},
}
NO_SOUND = "audio: received nothing; expected a sound. The video it was taken from may have no sound track."
REFUSED = {
    "nothing described": NO_SOUND,
    "none": NO_SOUND,
    "events of nothing": NO_SOUND,
    "events of no time": "end: received 0.5 s; expected 0, or a time after the start at 1 s",
    "lazy described": "audio: received a tensor of shape (1, 0); expected (channels, samples), with at least one sample",
    "no samples": "audio: received a tensor of shape (1, 0); expected (channels, samples), with at least one sample",
    "no channels": "audio: received a tensor of shape (0, 100); expected (channels, samples), with at least one sample",
    "no sound": "audio: received a str; expected a sound, with 'waveform' and 'sample_rate'",
    "infinite": "frames: received NaN or infinite pixels; expected finite values from 0 to 1",
    "unknown": "sound: received one that this node does not have; expected one of replace, mix, add a track",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run_script("handed_over.py", COMFYUI, ROOT, tmp_path_factory.mktemp("handed_over"), timeout=300)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_shown_is_what_is_used(found, name):
    assert found[name] == EXPECTED[name]


def test_the_events_of_a_sound(found):
    text, times, plot = found["events of a sound"]
    assert times == pytest.approx([1.0], abs=0.03) and text == f"{times[0]:.3f}" and plot == [1, 720, 1200, 3]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_named(found, name):
    assert found[name].rstrip(".") == REFUSED[name].rstrip(".")
