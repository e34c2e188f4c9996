"""Brings the tables of web/docs/<node>.md, the help pages of the editor, up to date with the nodes; the rest is written by hand.

    .venv/bin/python -m scripts.make_help
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from scripts.comfy_server import ROOT, ComfyServer

FOLDER = ROOT / "web" / "docs"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        for name, info in server.get("/object_info").items():
            if name.startswith("SeeingHearing_"):
                page = FOLDER / f"{name}.md"
                by_hand = page.read_text(encoding="utf-8").partition("## Inputs\n")[0]
                page.write_text(by_hand + tables(info), encoding="utf-8")


def tables(info: dict[str, Any]) -> str:
    """The last two sections of a help page: every input with its range, every output."""
    rows = ["## Inputs", "", "| input | values | what it does |", "|---|---|---|"]
    for group in ("required", "optional"):
        for name, spec in info["input"].get(group, {}).items():
            rows.append(f"| **{spec[1].get('display_name') or name.replace('_', ' ')}** | {_values(name, *spec)} | {spec[1]['tooltip']} |")
    rows += ["", "## Outputs", "", "| output | what it is |", "|---|---|"]
    rows += [f"| **{name.replace('_', ' ')}** | {tip} |" for name, tip in zip(info["output_name"], info["output_tooltips"], strict=True)]
    return "\n".join(rows) + "\n"


def _values(name: str, kind: str, options: dict[str, Any]) -> str:
    if name == "seed":
        return "a whole number"
    if kind in ("INT", "FLOAT"):
        return f"{options['min']:g} to {options['max']:g}; at first {options['default']:g}"
    if kind == "COMBO" and name in ("model", "base", "motion", "lora", "motion_lora"):
        return "a model on your machine"
    if kind == "COMBO":
        return f"{', '.join(options['options'])}; at first '{options['default']}'"
    if kind == "BOOLEAN":
        return f"on or off; at first {'on' if options['default'] else 'off'}"
    if kind == "STRING":
        return "text"
    return "sockets" if kind.startswith("COMFY_AUTOGROW") else "socket"


if __name__ == "__main__":
    main()
