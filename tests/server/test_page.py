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


def test_a_saved_preset_and_what_was_changed_in_it_come_back(page):
    """Widgets that a preset brings are saved by position, like all others."""
    changed = page.evaluate("""() => {
      const graph = window.app.graph
      graph.clear()
      for (const [name, preset, values] of [
        ['SeeingHearing_AudioToVideo', 'fast', {'preset.complete_prompt': 'always', seed: 7, candidates: 3}],
        ['SeeingHearing_VideoToAudio', 'quality', {'preset.strength': 0.7, seed: 8, event_times: '0.5'}],
        ['SeeingHearing_AlignSettings', 'video: paper', {'preset.guide_every': 3, 'preset.complete_prompt': 'when empty'}],
      ]) {
        const node = LiteGraph.createNode(name)
        graph.add(node)
        node.widgets.find((widget) => widget.name === 'preset').value = preset
        for (const [field, value] of Object.entries(values)) node.widgets.find((widget) => widget.name === field).value = value
      }
      return graph.serialize()
    }""")
    before = plain(api_of(page))
    load_graph(page, json.loads(json.dumps(changed)))
    assert plain(api_of(page)) == before
    video, audio, settings = (node["inputs"] for node in before.values())
    assert video["preset"] == "fast" and "preset.strength" not in video and video["preset.complete_prompt"] == "always"
    assert audio["preset.strength"] == 0.7 and audio["event_times"] == "0.5" and video["candidates"] == 3
    assert settings["preset.guide_every"] == 3 and settings["preset.mode"] == "paper" and len(settings) == 21


def test_every_input_explains_itself(server):
    nodes = {name: info for name, info in server.get("/object_info").items() if name.startswith("SeeingHearing_")}
    assert len(nodes) >= 5
    for name, info in nodes.items():
        assert info["category"].startswith("Seeing & Hearing") and info["description"], name
        for field, _, options in all_inputs(info["input"]):
            assert len(options.get("tooltip", "")) > 15, f"{name}.{field}"
        assert all(info["output_tooltips"]), name
    shown = [
        field
        for field, kind, options in all_inputs(nodes["SeeingHearing_VideoToAudio"]["input"])
        if not options.get("advanced") and kind in ("INT", "FLOAT", "STRING", "COMBO", "BOOLEAN", "COMFY_DYNAMICCOMBO_V3")
    ]
    assert shown == ["prompt", "negative_prompt", "steps", "preset", "preset.strength", "preset.complete_prompt", "seed"]
