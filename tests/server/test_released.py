"""Every workflow that was ever shared opens in the page and means what it meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.comfy_page import api_of, comfy_page, load_graph
from scripts.comfy_server import ROOT

RELEASED = sorted((ROOT / "tests" / "workflows_released").glob("*.json"))
MEANT = {  # what the task node was told in all of them
    "SeeingHearing_VideoToAudio": {"steps": 30, "strength": 1, "seed": 0, "fps": 8, "duration": 0, "guidance_scale": 2.5,
                                   "vision_weight": 1, "text_weight": 1},
    "SeeingHearing_ImageToAudio": {"steps": 30, "strength": 1, "seed": 0, "guidance_scale": 2.5, "preset": "balanced"},
    "SeeingHearing_AudioToVideo": {"steps": 25, "strength": 1, "prompt_strength": 1, "fps": 8, "seed": 0, "duration": 0, "width": 0,
                                   "height": 0, "guidance_scale": 7.5},
    "SeeingHearing_VideoAndAudio": {"steps": 25, "strength": 1, "prompt_strength": 1, "seed": 0, "fps": 8, "duration": 2,
                                    "video_guidance_scale": 7.5, "audio_guidance_scale": 2.5},
}


@pytest.fixture(scope="module")
def nodes(server):
    return server.get("/object_info")


@pytest.fixture(scope="module")
def page(server, uploaded):
    for name in ("picture.png", "sound.wav"):
        (server.base / "input" / name).touch()
    with comfy_page(server, nodes2=False) as opened:
        yield opened


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_released_workflow_still_means_the_same(page, nodes, path: Path):
    load_graph(page, json.loads(path.read_text(encoding="utf-8")))
    api = api_of(page)
    for node in api.values():
        kind = node["class_type"]
        assert kind in nodes, f"missing node {kind}"
        assert set(nodes[kind]["input"].get("required", {})) <= set(node["inputs"]), kind
        for field, value in node["inputs"].items():
            options = _options(nodes[kind], field)
            if isinstance(value, (int, float)) and "min" in options:
                assert options["min"] <= value <= options["max"], f"{kind}.{field} = {value}"
            if isinstance(value, str) and "options" in options and isinstance(options["options"][0], str):
                assert value in options["options"], f"{kind}.{field} = {value}"
        assert MEANT.get(kind, {}).items() <= node["inputs"].items(), kind
    modes = {node["inputs"]["preset"] for node in api.values() if node["class_type"] == "SeeingHearing_VideoToAudio"}
    old = any(field["name"] == "mode" for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]
              for field in node.get("inputs", []) if node["type"] == "SeeingHearing_VideoToAudio")
    assert modes <= {"paper" if old else "balanced"}


def _options(node: dict, field: str) -> dict:
    for group in node["input"].values():
        if field in group and len(group[field]) > 1:
            return group[field][1]
    return {}
