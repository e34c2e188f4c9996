"""ComfyUI's real web page in a headless Chromium with a fresh profile."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as PageTimeoutError

from scripts.comfy_server import ComfyServer

READY_MS = 60_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
# Nothing lies over the graph, and the classic canvas writes its words however small they are.
UNCOVERED = {"Comfy.RightSidePanel.IsOpen": False, "Comfy.Minimap.Visible": False, "LiteGraph.Canvas.MinFontSizeForLOD": 0}
# Drawing without a graphics card takes the cores that the models need; what moves while a run lasts takes half of one.
CALM = {"LiteGraph.Canvas.MaximumFps": 10}
STILL = """.animate-pulse, .animate-spin { animation: none !important }
.absolute.transition-all, .transition-\\[width\\] { transition: none !important }"""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=_without_realtime(Path(folder)), args=FLAGS)
        yield browser
        browser.close()


def _without_realtime(folder: Path) -> str | None:
    """Chromium, started so that it cannot give its sound threads real-time priority.

    As root it may, and without a sound card two such threads can hold two cores for minutes.
    """
    chromium, setpriv = shutil.which("chromium"), shutil.which("setpriv")
    if chromium is None or setpriv is None or os.geteuid() != 0:
        return chromium
    starter = folder / "chromium"
    starter.write_text(f'#!/bin/sh\nexec "{setpriv}" --inh-caps=-sys_nice --bounding-set=-sys_nice "{chromium}" "$@"\n')
    starter.chmod(starter.stat().st_mode | stat.S_IXUSR)
    return str(starter)


def open_page(
    browser: Browser, server: ComfyServer, *, nodes2: bool = True, language: str = "en", width: int = 1700, height: int = 950
) -> Page:
    """The page with a fresh profile, loaded and ready, tutorials put away.  nodes2: Nodes 2.0, or the classic canvas."""
    server.post(
        "/settings",
        {
            "Comfy.TutorialCompleted": True,
            "Comfy.VueNodes.Enabled": nodes2,
            "Comfy.Locale": language,
            "Comfy.Workflow.ShowMissingModelsWarning": False,
        }
        | UNCOVERED
        | CALM,
    )
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.goto(server.url)
    page.wait_for_function("() => window.app && window.app.graph && window.app.extensionManager", timeout=READY_MS)
    page.wait_for_function("() => document.querySelector('canvas')", timeout=READY_MS)
    # The page opens a workflow of its own, which would take the place of one that was opened before it.
    page.wait_for_function("() => window.app.graph.nodes.length > 0", timeout=READY_MS)
    page.add_style_tag(content=STILL)
    return page


@contextmanager
def comfy_page(server: ComfyServer, **options: Any) -> Iterator[Page]:
    """A browser with one page; options as for `open_page`."""
    with chromium() as browser:
        yield open_page(browser, server, **options)


def open_template(page: Page, name: str) -> None:
    """Opens a shared workflow as a user does: from the template browser."""
    page.get_by_role("button", name="Templates").first.click()
    card = page.get_by_test_id(f"template-workflow-{name}")
    card.wait_for(timeout=READY_MS)
    before = page.evaluate("() => window.app.graph.id")
    opened = {"expression": "(before) => window.app.graph.id !== before", "arg": before}
    card.click()
    try:
        page.wait_for_function(**opened, timeout=READY_MS / 2)
    except PageTimeoutError:  # once, on a busy machine, nothing opened; a user would press again
        card.click()
        page.wait_for_function(**opened, timeout=READY_MS / 2)
    page.wait_for_timeout(500)


def show_node(page: Page, number: int, left: int, top: int) -> None:
    """Moves the view so that the node's title begins at this pixel, at full size."""
    page.evaluate(
        """([number, left, top]) => {
      const canvas = window.app.canvas, [x, y] = window.app.graph.getNodeById(number).pos
      canvas.ds.scale = 1
      canvas.ds.offset = [left - x, top - y]
      canvas.setDirty(true, true)
    }""",
        [number, left, top],
    )
    page.wait_for_timeout(500)


def load_graph(page: Page, workflow: dict[str, Any]) -> None:
    """Opens a UI-format workflow."""
    page.evaluate("async (graph) => { await window.app.loadGraphData(graph) }", workflow)
    page.wait_for_timeout(500)


def api_of(page: Page) -> dict[str, Any]:
    """The API format of the open workflow, as the page itself makes it."""
    return page.evaluate("async () => (await window.app.graphToPrompt()).output")


def plain(api: dict[str, Any]) -> dict[str, Any]:
    """API format without what does not change the result (titles)."""
    return json.loads(
        json.dumps({number: {"class_type": node["class_type"], "inputs": node["inputs"]} for number, node in api.items()})
    )
