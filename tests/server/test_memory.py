"""Fifty runs of each task in one server: memory does not grow."""

from __future__ import annotations

import json

import numpy as np
import psutil
from PIL import Image

from scripts.comfy_server import ROOT, error_of

from tests.server.conftest import film_path, run
from tests.server.test_tasks import write_sound

RUNS, SETTLED = 50, 5
QUICK = {"steps": 1, "duration": 0.3, "width": 64, "height": 64, "fps": 4.0}


def all_four(seed: int) -> dict:
    """The task of each shared workflow, one step each, with its own loaders; what is made is only looked at."""
    api = {}
    for name in ("video_to_audio", "image_to_audio", "audio_to_video", "video_and_audio_together"):
        graph = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
        for key, node in graph.items():
            links = {field: [f"{name}{value[0]}", value[1]] if isinstance(value, list) else value
                     for field, value in node["inputs"].items()}
            api[f"{name}{key}"] = node | {"inputs": links}
    for key, node in list(api.items()):
        if "seed" in node["inputs"]:
            node["inputs"] |= {field: value for field, value in QUICK.items() if field in node["inputs"]} | {"seed": seed}
        if node["class_type"].startswith("Save") or node["class_type"] == "SeeingHearing_MuxAudio":
            del api[key]
        elif node["class_type"] in ("SeeingHearing_VideoToAudio", "SeeingHearing_ImageToAudio", "SeeingHearing_AudioToVideo",
                                    "SeeingHearing_VideoAndAudio"):
            api[f"{key} seen"] = {"class_type": "PreviewAny", "inputs": {"source": [key, 0]}}
    used = {value[0] for node in api.values() for value in node["inputs"].values() if isinstance(value, list)}
    return {key: node for key, node in api.items() if key in used or node["class_type"] == "PreviewAny"
            and node["inputs"]["source"][0] in api}


def test_memory_does_not_grow(server):
    folder, random = server.base / "input", np.random.default_rng(1)
    Image.fromarray(random.integers(0, 255, (50, 71, 3), np.uint8)).save(folder / "picture.png")
    write_sound(folder / "sound.wav", random.normal(0, 3000, (22050, 1)))
    (folder / "silent_clip.mp4").write_bytes(film_path("bikes.mp4").read_bytes())
    process, sizes = psutil.Process(server.process.pid), []
    for seed in range(RUNS):
        entry = run(server, all_four(1000 + seed))
        assert not error_of(entry) and len(entry["outputs"]) >= 4
        sizes.append(process.memory_info().rss)
    print("resident MB:", [size // 2**20 for size in sizes[::5]])
    assert max(sizes[-5:]) < 1.02 * max(sizes[:SETTLED])
