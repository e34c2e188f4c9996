"""The other three tasks and their shared workflows in the real server, on stand-ins under the real file names."""

from __future__ import annotations

import json
import wave
from dataclasses import asdict

import av
import numpy as np
import pytest
from PIL import Image

from scripts.comfy_server import ROOT, error_of, output_files
from seeing_core.guidance.settings import AUDIO_PRESETS
from tests.server.conftest import run


@pytest.fixture(scope="module", autouse=True)
def media(server):
    """The files that the shared workflows name: a picture with alpha, and two seconds of stereo sound."""
    folder, random = server.base / "input", np.random.default_rng(1)
    Image.fromarray(random.integers(0, 255, (50, 71, 4), np.uint8)).save(folder / "picture.png")
    write_sound(folder / "sound.wav", random.normal(0, 3000, (44100, 2)))


def write_sound(path, samples, rate_hz=22050):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype(np.int16).tobytes())


def api(name, **inputs):
    """A shared workflow, quick, with these inputs of its task node changed."""
    workflow = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    task(workflow)["inputs"] |= {"steps": 3} | inputs
    return workflow


def task(workflow):
    names = {"SeeingHearing_ImageToAudio", "SeeingHearing_AudioToVideo", "SeeingHearing_VideoAndAudio"}
    return next(node for node in workflow.values() if node["class_type"] in names)


def tracks(path):
    with av.open(str(path)) as video:
        return {stream.type: float(stream.duration * stream.time_base) for stream in video.streams}


def test_image_to_audio(server):
    (path,) = output_files(run(server, api("image_to_audio", duration=1.3)), server)
    with av.open(str(path)) as file:
        sound = file.streams.audio[0]
        assert sound.rate == 16000
        assert sum(frame.samples for frame in file.decode(sound)) == 20800


def test_audio_to_video(server):
    pictures = []
    entry = run(server, api("audio_to_video"), event=lambda kind, data: pictures.append(kind) if kind == "preview" else None)
    (path,) = output_files(entry, server)
    assert tracks(path) == {"video": pytest.approx(2.0, abs=1 / 8), "audio": pytest.approx(2.0, abs=1 / 8)}
    with av.open(str(path)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 16
    assert pictures


def test_video_and_audio_together(server):
    (path,) = output_files(run(server, api("video_and_audio_together", duration=1.5)), server)
    assert tracks(path) == {"video": pytest.approx(1.5, abs=1 / 8), "audio": pytest.approx(1.5, abs=1 / 8)}


def test_settings_and_targets_reach_the_task(server):
    workflow = api("image_to_audio", duration=0.5)
    settings = asdict(AUDIO_PRESETS["x0"]) | {
        "start_fraction": 0.0,
        "end_fraction": 0.6,
        "inner_steps": 2,
        "text_weight": 0.0,
        "strength": 0.5,
        "prompt_strength": 1.0,
    }
    workflow["20"] = {
        "class_type": "SeeingHearing_AlignSettings",
        "inputs": {"preset": "audio: x0"} | {f"preset.{field}": value for field, value in settings.items()},
    }
    workflow["21"] = {"class_type": "LoadAudio", "inputs": {"audio": "sound.wav"}}
    workflow["22"] = {"class_type": "SeeingHearing_AlignTarget", "inputs": {"media": ["21", 0], "text": "", "weight": 2.0}}
    workflow["23"] = {
        "class_type": "SeeingHearing_AlignTarget",
        "inputs": {"text": "metal", "weight": 1.0, "targets": ["22", 0]},
    }
    task(workflow)["inputs"] |= {"settings": ["20", 0], "targets": ["23", 0]}
    number = next(key for key, node in workflow.items() if node is task(workflow))
    workflow["24"] = {"class_type": "PreviewAny", "inputs": {"source": [number, 1]}}
    (text,) = run(server, workflow)["outputs"]["24"]["text"]
    assert text.startswith("x0 mode, strength 0.5, prompt tuning 1, 3 steps")
    assert "target 1" in text and "target 2" in text and "text" not in text.splitlines()[1]
    assert len(text.splitlines()) == 2 + 2 * 2  # two of three steps guided, two inner steps each


@pytest.mark.parametrize("weights, words", [((0.0,), "targets: received 1 targets that all have weight 0")])
def test_targets_without_weight(server, weights, words):
    workflow = api("image_to_audio", duration=0.5)
    workflow["22"] = {"class_type": "SeeingHearing_AlignTarget", "inputs": {"text": "metal", "weight": weights[0]}}
    task(workflow)["inputs"]["targets"] = ["22", 0]
    assert words in error_of(run(server, workflow))


def test_empty_target_is_named(server):
    workflow = api("image_to_audio", duration=0.5)
    workflow["22"] = {"class_type": "SeeingHearing_AlignTarget", "inputs": {"text": " ", "weight": 1.0}}
    task(workflow)["inputs"]["targets"] = ["22", 0]
    assert "target: received neither media nor text" in error_of(run(server, workflow))


@pytest.mark.parametrize("rate_hz, channels", [(8000, 1), (192000, 6)])
def test_sounds_of_any_format(server, rate_hz, channels):
    samples = np.random.default_rng(2).normal(0, 3000, (rate_hz, channels))
    write_sound(server.base / "input" / "odd.wav", samples, rate_hz)
    workflow = api("audio_to_video")
    next(node for node in workflow.values() if node["class_type"] == "LoadAudio")["inputs"]["audio"] = "odd.wav"
    (path,) = output_files(run(server, workflow), server)
    assert tracks(path)["video"] == pytest.approx(1.0, abs=1 / 8)
