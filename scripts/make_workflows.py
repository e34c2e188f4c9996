"""Lays out the shared workflows: workflows/api/*.json -> workflows/*.json, made by ComfyUI's own page.

Run it after a change to a node's inputs:  .venv/bin/python -m scripts.make_workflows
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from scripts.comfy_page import comfy_page
from scripts.comfy_server import ROOT, ComfyServer

FOLDER = ROOT / "workflows"
NOTE = """## Sound for a silent clip
1. **Load Video**: choose your clip.
2. Write a **prompt** if you like: what should be heard.
3. Press **Run**. Another **seed** gives another sound.

The *pocket* models are small demonstration models and need no download. For real sounds choose real weights in the two \
loaders; the README says where they go."""

LAYOUTS: dict[str, dict[str, Any]] = {
    "video_to_audio": {
        "nodes": {  # id: x, y, width, height
            "1": (40, 80, 300, 320), "2": (40, 500, 300, 60), "3": (40, 620, 300, 60), "4": (420, 80, 420, 620),
            "5": (920, 80, 320, 110), "6": (920, 280, 320, 420), "7": (1320, 80, 360, 620),
        },
        "groups": {  # title: x, y, width, height
            "1  Your clip": (20, 0, 340, 420), "2  The models": (20, 430, 340, 280), "3  The sound": (400, 0, 460, 720),
            "4  The film with its sound": (900, 0, 360, 720), "How the alignment went": (1300, 0, 400, 720),
        },
        "note": (NOTE, (20, -280, 640, 250)),
    },
}

ARRANGE = """async ([api, layout]) => {
  await window.app.loadApiJson(api, 'workflow')
  const graph = window.app.graph
  for (const node of graph.nodes) {
    const [x, y, width, height] = layout.nodes[node.id]
    node.pos = [x, y]
    node.setSize([width, height])
    for (const widget of node.widgets ?? []) if (widget.name === 'control_after_generate') widget.value = 'fixed'
  }
  for (const [title, [x, y, width, height]] of Object.entries(layout.groups)) {
    const group = new LiteGraph.LGraphGroup(title)
    group.pos = [x, y]
    group.size = [width, height]
    graph.add(group)
  }
  const [text, [x, y, width, height]] = layout.note
  const note = LiteGraph.createNode('MarkdownNote')
  graph.add(note)
  note.pos = [x, y]
  note.setSize([width, height])
  note.widgets[0].value = text
  return graph.serialize()
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        (server.base / "input" / "silent_clip.mp4").touch()
        with comfy_page(server) as page:
            for name, layout in LAYOUTS.items():
                api = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
                graph = page.evaluate(ARRANGE, [api, layout])
                (FOLDER / f"{name}.json").write_text(json.dumps(tidy(graph), indent=1) + "\n", encoding="utf-8")


def tidy(value: Any) -> Any:
    """The graph without empty entries and without its random id."""
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [tidy(item) for item in value]
    return value


if __name__ == "__main__":
    main()
