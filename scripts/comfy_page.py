"""ComfyUI's real web page in a headless Chromium with a fresh profile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, sync_playwright

from scripts.comfy_server import ComfyServer

READY_MS = 60_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]


@contextmanager
def comfy_page(server: ComfyServer, *, width: int = 1700, height: int = 950) -> Iterator[Page]:
    """The page, loaded and ready, tutorials and templates put away."""
    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.Workflow.ShowMissingModelsWarning": False})
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(server.url)
        page.wait_for_function("() => window.app && window.app.graph && window.app.extensionManager", timeout=READY_MS)
        page.wait_for_function("() => document.querySelector('canvas')", timeout=READY_MS)
        yield page
        browser.close()


def load_graph(page: Page, workflow: dict[str, Any]) -> None:
    """Opens a UI-format workflow."""
    page.evaluate("async (graph) => { await window.app.loadGraphData(graph) }", workflow)
    page.wait_for_timeout(500)


def api_of(page: Page) -> dict[str, Any]:
    """The API format of the open workflow, as the page itself makes it."""
    return page.evaluate("async () => (await window.app.graphToPrompt()).output")


def plain(api: dict[str, Any]) -> dict[str, Any]:
    """API format without what does not change the result (titles)."""
    return json.loads(json.dumps({number: {"class_type": node["class_type"], "inputs": node["inputs"]}
                                  for number, node in api.items()}))
