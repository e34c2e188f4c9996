"""The shared workflows as a user meets them: opened from the template browser, run with the Run button, seen and heard.

In Nodes 2.0 and on the classic canvas. Screenshots are kept in output/page/.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from scripts.comfy_page import chromium, open_page, open_template, show_node
from scripts.comfy_server import LINK, ROOT
from scripts.demo import sample_picture, sample_sound
from tests.server.test_compare import compare

NATIVE = {"stable_audio_video_to_audio", "wan_audio_to_video", "ltx2_video_and_audio"}  # need weights that are not here
WORKFLOWS = sorted({path.stem for path in (ROOT / "workflows").glob("*.json")} - NATIVE)
DURATIONS_S = {
    "video_to_audio": 5.28,
    "align_model": 5.28,
    "audio_to_video": 2.0,
    "video_and_audio_together": 2.0,
    "pocket_image_to_audio": 2.0,
    "image_to_audio": 5.0,
}
SCREENSHOTS = ROOT / "output" / "page"
RUN_LIMIT_S = 600
SHOWN_STEPS = 40  # enough to be seen at work and stopped
SEEN = 4  # live pictures: a curve, not a point
NOTE = "MarkdownNote"
TITLE_X, TITLE_Y = 400, 250  # where a node's title is put to be clicked, in pixels

RECTANGLES = """() => {
  const scale = window.app.canvas.ds.scale
  return window.app.graph.nodes.map((node) => {
    const drawn = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect()
    const height = drawn ? drawn.height / scale : node.size[1] + 30
    return [node.type, node.pos[0], node.pos[1] - 30, node.size[0], height]
  })
}"""
GROUPS = "() => window.app.graph.groups.map((group) => [group.title, ...group.pos, ...group.size])"
MEDIA = """(file) => [...document.querySelectorAll('audio, video')]
  .filter((media) => media.currentSrc.includes(encodeURIComponent(file)))
  .map((media) => [media.readyState, media.duration])[0]"""

COUNT_LIVE_PICTURES = """() => {
  if (window.livePictures === undefined)
    window.app.api.addEventListener('b_preview_with_metadata', () => { window.livePictures += 1 })
  window.livePictures = 0
}"""


class Watch:
    """What a page must not do: errors that name this pack, requests to elsewhere."""

    def __init__(self, page: Page, url: str) -> None:
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.on("pageerror", lambda error: self._error(str(error)))
        page.on("console", lambda said: self._error(f"{said.text} {said.location}") if said.type == "error" else None)
        page.on(
            "response",
            lambda answer: self.outside.append(answer.url) if not answer.url.startswith((url, "data:", "blob:")) else None,
        )

    def _error(self, text: str) -> None:
        asked_for_translation = "404" in text and "/docs/SeeingHearing_VideoToAudio/en.md" in text  # before the page itself
        if (LINK in text or "SeeingHearing" in text) and not asked_for_translation:
            self.errors.append(text)


@pytest.fixture(scope="module")
def browser(server, uploaded):
    sample_picture(server.base / "input")
    sample_sound(server.base / "input")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module", params=["nodes2", "classic"])
def mode(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def page(browser, server, mode):
    opened = open_page(browser, server, nodes2=mode == "nodes2")
    watch = Watch(opened, server.url)
    yield opened
    opened.context.close()
    assert watch.errors == [] and watch.outside == []


def run(page: Page, server) -> dict[str, Any]:
    """Presses Run; the history entry when it has ended."""
    before = set(server.get("/history"))
    page.get_by_role("button", name="Run", exact=True).first.click()
    return ended(page, server, before)


def seen_and_stopped(page: Page, server, picture: Path) -> None:
    """Presses Run, keeps a picture of the page when the loss has become a curve, presses Cancel."""
    before = set(server.get("/history"))
    page.evaluate(COUNT_LIVE_PICTURES)
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.wait_for_function("(seen) => window.livePictures >= seen", arg=SEEN, timeout=RUN_LIMIT_S * 1000)
    page.wait_for_timeout(300)  # drawn
    page.screenshot(path=picture)
    page.get_by_role("button", name="Cancel current run").click()
    entry = ended(page, server, before)
    assert "execution_interrupted" in [kind for kind, _ in entry["status"]["messages"]]


def ended(page: Page, server, before: set[str]) -> dict[str, Any]:
    limit = time.monotonic() + RUN_LIMIT_S
    while time.monotonic() < limit:
        if new := {number: entry for number, entry in server.get("/history").items() if number not in before}:
            page.wait_for_timeout(500)
            return next(iter(new.values()))
        page.wait_for_timeout(200)
    raise AssertionError(f"not done after {RUN_LIMIT_S} s:\n{server.log_end()}")


def set_widgets(page: Page, name: str, value: object) -> None:
    """Of every node that has one of this name."""
    page.evaluate(
        """([name, value]) => {
      for (const node of window.app.graph.nodes)
        for (const widget of node.widgets ?? []) if (widget.name === name) widget.value = value
    }""",
        [name, value],
    )


def set_quick(page: Page) -> None:
    """Two steps, no drafts: what a task does by default is not the point of every run."""
    set_widgets(page, "steps", 2)
    set_widgets(page, "preset", "paper")


def files(entry: dict[str, Any], node: str) -> list[str]:
    return [item["filename"] for items in entry["outputs"][node].values() for item in items if isinstance(item, dict)]


def assert_plays(page: Page, file: str, duration_s: float) -> None:
    page.wait_for_function(f"(file) => (({MEDIA})(file) ?? [0])[0] >= 2", arg=file, timeout=20_000)
    assert page.evaluate(MEDIA, file)[1] == pytest.approx(duration_s, abs=0.15)


def apart(page: Page) -> bool:
    """Whether no node lies on another, and each but the note within a group."""
    nodes = page.evaluate(RECTANGLES)
    for index, (name, x, y, width, height) in enumerate(nodes):
        for other, left, top, wide, high in nodes[index + 1 :]:
            assert not (x < left + wide and left < x + width and y < top + high and top < y + height), f"{name} on {other}"
        if name != NOTE:
            assert any(
                gx <= x and gy <= y and x + width <= gx + gw and y + height <= gy + gh
                for _, gx, gy, gw, gh in page.evaluate(GROUPS)
            ), f"{name} is outside of its group"
    return True


@pytest.mark.parametrize("name", WORKFLOWS)
def test_template_opens_works_stops_runs_and_plays(page, server, mode, name):
    open_template(page, name)
    assert page.evaluate("() => window.app.graph.nodes.filter((node) => !(node.type in LiteGraph.registered_node_types))") == []
    assert not page.get_by_text("Missing Node", exact=False).count()
    page.evaluate("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    if name.startswith("pocket_"):  # the stand-ins look the same and are slow at full size
        set_widgets(page, "steps", SHOWN_STEPS)
        seen_and_stopped(page, server, SCREENSHOTS / f"{name}_working_{mode}.png")
    set_quick(page)
    entry = run(page, server)
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
    duration_s = DURATIONS_S.get(name) or DURATIONS_S[name.removeprefix("pocket_")]
    shown = ["12"] if name.endswith("align_model") else ["4", "6" if "6" in entry["outputs"] else "5"]
    for node in shown:
        assert_plays(page, files(entry, node)[0], duration_s)
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / f"{name}_{mode}.png")
    assert apart(page)


@pytest.mark.parametrize("name", sorted(NATIVE))
def test_template_for_a_model_of_comfyui_opens(page, mode, name):
    open_template(page, name)
    assert page.evaluate("() => window.app.graph.nodes.filter((node) => !(node.type in LiteGraph.registered_node_types))") == []
    page.evaluate("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / f"{name}_{mode}.png")
    assert apart(page)


def test_players_come_back_with_a_cached_run(page, server):
    for _ in range(2):
        open_template(page, "pocket_image_to_audio")
        set_quick(page)
        entry = run(page, server)
    cached = next(data["nodes"] for kind, data in entry["status"]["messages"] if kind == "execution_cached")
    assert "4" in cached
    assert_plays(page, files(entry, "4")[0], 2.0)


def test_compare_plays_the_candidates_on_its_node(page, server, uploaded, mode):
    api = compare(uploaded, [["3", 0], ["4", 0]], video=["2", 0])
    page.evaluate("async (api) => { await window.app.loadApiJson(api, 'compare') }", api)
    assert run(page, server)["status"]["status_str"] == "success"
    page.wait_for_function(
        "() => window.app.graph.getNodeById(5).widgets.find((widget) => widget.name === 'player')"
        ".element.querySelector('video')?.readyState >= 2",
        timeout=120_000,
    )
    page.evaluate("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.wait_for_timeout(1000)  # the view glides there
    page.screenshot(path=SCREENSHOTS / f"compare_{mode}.png")


def test_bad_input_shows_our_sentence(page, server, mode):
    api = json.loads((ROOT / "workflows" / "api" / "pocket_image_to_audio.json").read_text(encoding="utf-8"))
    api["22"] = {"class_type": "SeeingHearing_AlignTarget", "inputs": {"text": " ", "weight": 1.0}}
    api["4"]["inputs"]["targets"] = ["22", 0]
    page.evaluate("async (api) => { await window.app.loadApiJson(api, 'bad') }", api)
    run(page, server)
    page.get_by_text("target: received neither media nor text").first.wait_for(timeout=30_000)
    page.screenshot(path=SCREENSHOTS / f"error_{mode}.png")


def test_absent_model_shows_our_sentence(page, server):
    api = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {
            "class_type": "SeeingHearing_CaptionImage",
            "inputs": {
                "images": ["1", 0],
                "model": "Qwen/Qwen2.5-VL-7B-Instruct",
                "prompt": "",
                "pictures": "each",
                "max_tokens": 8,
                "trust_remote_code": False,
            },
        },
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }
    page.evaluate("async (api) => { await window.app.loadApiJson(api, 'absent') }", api)
    run(page, server)
    page.get_by_text("image captioner: received 'Qwen/Qwen2.5-VL-7B-Instruct'").first.wait_for(timeout=30_000)


def test_help_page_opens_from_the_info_button(page, mode):
    open_template(page, "pocket_video_to_audio")
    page.evaluate("() => window.app.extensionManager.toast.removeAll()")  # of the errors before, they would cover the page
    show_node(page, 4, TITLE_X, TITLE_Y)
    page.mouse.click(TITLE_X + 60, TITLE_Y - 12)  # selected by hand: the page shows the buttons for no other selection
    page.get_by_test_id("info-button").click()
    page.get_by_text("Common mistakes").wait_for(timeout=10_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('img')].some((image) => image.naturalWidth > 0 && "
        "image.src.includes('SeeingHearing_VideoToAudio'))",
        timeout=10_000,
    )
    page.screenshot(path=SCREENSHOTS / f"help_{mode}.png")


@pytest.mark.parametrize(
    "language, title, steps, strength", [("ja", "動画から音声", "ステップ", "強さ"), ("ru", "Видео в звук", "шаги", "сила")]
)
def test_switched_language_shows_translated_labels(browser, server, mode, language, title, steps, strength):
    page = open_page(browser, server, nodes2=mode == "nodes2", language=language)
    page.wait_for_function("(title) => LiteGraph.registered_node_types.SeeingHearing_VideoToAudio?.title === title", arg=title)
    graph = json.loads((ROOT / "workflows" / "pocket_video_to_audio.json").read_text(encoding="utf-8"))
    page.evaluate("async (graph) => { await window.app.loadGraphData(graph) }", graph)
    show_node(page, 4, TITLE_X, TITLE_Y)
    label = "(name) => window.app.graph.getNodeById(4).widgets.find((widget) => widget.name === name).label"
    assert page.evaluate(label, "steps") == steps and page.evaluate(label, "preset.strength") == strength
    if mode == "nodes2":
        page.get_by_text(steps, exact=True).first.wait_for()
        page.get_by_text(strength, exact=True).first.hover()
        words = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
        tooltip = words["SeeingHearing_VideoToAudio"]["inputs"]["preset_strength"]["tooltip"]
        page.get_by_text(tooltip, exact=True).first.wait_for(timeout=10_000)
    page.screenshot(path=SCREENSHOTS / f"language_{language}_{mode}.png")
    page.context.close()
    server.post("/settings", {"Comfy.Locale": "en"})
