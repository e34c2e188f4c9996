"""The shared workflows in ComfyUI's real page."""

from __future__ import annotations

import json

import pytest

from scripts.comfy_page import api_of, comfy_page, load_graph, plain
from scripts.comfy_server import ROOT
from scripts.make_locales import all_inputs

WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))


@pytest.fixture(scope="module")
def page(server, uploaded):
    with comfy_page(server) as opened:
        yield opened


@pytest.mark.parametrize("name", WORKFLOWS)
def test_page_makes_the_api_twin_of_each_workflow(page, name):
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    load_graph(page, json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8")))
    twin = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    made = plain(api_of(page))
    for node in made.values():
        node["inputs"].pop("video-preview", None)  # the page's own player, not an input
    assert made == twin
    assert not problems


@pytest.mark.parametrize("name", WORKFLOWS)
def test_shared_seeds_are_fixed(name):
    graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    values = [value for node in graph["nodes"] for value in node.get("widgets_values", [])]
    assert "fixed" in values and "randomize" not in values


def test_every_input_explains_itself(server):
    nodes = {name: info for name, info in server.get("/object_info").items() if name.startswith("SeeingHearing_")}
    assert len(nodes) >= 5
    for name, info in nodes.items():
        assert info["category"].startswith("Seeing & Hearing") and info["description"], name
        for field, _, options in all_inputs(info["input"]):
            assert len(options.get("tooltip", "")) > 15, f"{name}.{field}"
        assert all(info["output_tooltips"]), name
    shown = [field for field, kind, options in all_inputs(nodes["SeeingHearing_VideoToAudio"]["input"])
             if not options.get("advanced") and kind in ("INT", "FLOAT", "STRING", "COMBO", "BOOLEAN", "COMFY_DYNAMICCOMBO_V3")]
    assert shown == ["prompt", "negative_prompt", "steps", "preset", "preset.strength", "preset.complete_prompt", "seed"]
