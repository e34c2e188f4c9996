"""Fifty runs of each task in one server: memory does not grow."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from scripts.comfy_server import ROOT, ComfyServer, error_of
from tests.server.conftest import GIVES_BACK, resident, run, two_drafts, write_stand_ins
from tests.server.test_tasks import write_sound

RUNS, SETTLED = 50, 5
WORKFLOWS = ("video_to_audio", "image_to_audio", "audio_to_video", "video_and_audio_together")
QUICK = {"steps": 1, "duration": 0.3, "width": 64, "height": 64, "fps": 4.0}
SAVERS = ("SaveVideo", "SaveAudioAdvanced", "SeeingHearing_MuxAudio")


@pytest.fixture
def own_server(tmp_path):
    """One that nothing has been run in."""
    write_stand_ins(tmp_path / "models")
    with ComfyServer(tmp_path, environment=GIVES_BACK) as running:
        yield running


def all_four(seed: int) -> dict:
    """The shared workflows in one, one step each, the loaders shared; what is made is looked at and not saved."""
    loaders: dict[str, str] = {}
    merged = {}
    for name in WORKFLOWS:
        graph = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
        names = {key: f"{name} {key}" for key in graph}
        names |= {
            key: loaders.setdefault(node["class_type"], names[key])
            for key, node in graph.items()
            if "_Load" in node["class_type"]
        }
        for key, node in graph.items():
            if node["class_type"] in SAVERS:
                continue
            inputs = {
                field: [names[value[0]], value[1]] if isinstance(value, list) else value
                for field, value in node["inputs"].items()
            }
            if "seed" in inputs:
                inputs |= {field: value for field, value in QUICK.items() if field in inputs} | {"seed": seed}
            merged[names[key]] = node | {"inputs": inputs}
    return merged


def test_memory_does_not_grow(own_server, write_video):
    folder, random = own_server.base / "input", np.random.default_rng(1)
    Image.fromarray(random.integers(0, 255, (50, 71, 3), np.uint8)).save(folder / "picture.png")
    write_sound(folder / "sound.wav", random.normal(0, 3000, (22050, 1)))
    write_video(folder / "silent_clip.mp4", [frame / 8 for frame in range(8)], [0, 0, 200, 200, 0, 0, 200, 200])
    sizes = []
    for seed in range(RUNS):
        entry = run(own_server, two_drafts(all_four(1000 + seed)))
        assert not error_of(entry) and {f"{name} 7" for name in WORKFLOWS} <= entry["outputs"].keys()
        sizes.append(resident(own_server))
    print("resident, MB:", [size // 2**20 for size in sizes])
    assert max(sizes[-SETTLED:]) < 1.02 * max(sizes[:SETTLED])
