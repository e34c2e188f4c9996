"""Writes what ComfyUI's manager reads of a pack: node_list.json, and model-list.json in the form of its list of models.

.venv/bin/python -m scripts.make_manager_lists
"""

from __future__ import annotations

import ast
import json
from typing import Any

from scripts.comfy_server import ROOT
from seeing_core.weights.catalog import BASE, HUB, IMAGEBIND, MOTION, RemoteModel

KINDS = {
    "imagebind": ("imagebind", "ImageBind"),
    "checkpoints": ("checkpoint", "SD1.5"),
    "animatediff_models": ("animatediff", "SD1.x"),
}


def main() -> None:
    for name, content in (("node_list.json", nodes()), ("model-list.json", models())):
        (ROOT / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def nodes() -> dict[str, str]:
    """Each node's id and what it does, from the literals in nodes/."""
    found = {}
    for path in sorted((ROOT / "nodes").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "io.Schema":
                values = {word.arg: word.value for word in call.keywords}
                found[ast.literal_eval(values["node_id"])] = ast.literal_eval(values["description"])
    return dict(sorted(found.items()))


def models() -> dict[str, list[dict[str, Any]]]:
    """The well-known models that are one file; the manager cannot fetch folders."""
    files = [one for one in (*IMAGEBIND, *BASE, *MOTION) if one.file or one.source.startswith("https:")]
    return {"models": [_entry(one) for one in files]}


def _entry(model: RemoteModel) -> dict[str, Any]:
    kind, base = KINDS[model.folder]
    url = model.source if model.source.startswith("https:") else f"{HUB}/{model.source}/resolve/main/{model.file}"
    return {
        "name": model.name,
        "type": kind,
        "base": base,
        "save_path": model.folder,
        "description": model.facts,
        "reference": model.page,
        "filename": model.name,
        "url": url,
        "size": f"{model.size / 1e9:.2f}GB",
    }


if __name__ == "__main__":
    main()
