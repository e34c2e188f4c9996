"""Brings the tables of web/docs/<node>.md, the help pages of the editor, up to date with the nodes; the rest is written by hand.

.venv/bin/python -m scripts.make_help
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from scripts.comfy_server import ROOT, ComfyServer
from scripts.make_locales import all_inputs, spoken

FOLDER = ROOT / "web" / "docs"
MODELS = ("model", "base", "motion", "lora", "motion_lora")  # inputs whose values are what lies on the machine


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
    for name, kind, options in all_inputs(info["input"]):
        rows.append(
            f"| **{spoken(name, options)}** | {_values(name, kind, options)}{_starts(info, name, options)} | {options['tooltip']} |"
        )
    rows += ["", "## Outputs", "", "| output | what it is |", "|---|---|"]
    rows += [
        f"| **{name.replace('_', ' ')}** | {tip} |"
        for name, tip in zip(info["output_name"], info["output_tooltips"], strict=True)
    ]
    return "\n".join(rows) + "\n"


def _values(name: str, kind: str, options: dict[str, Any]) -> str:
    if name == "seed":
        return "a whole number"
    if kind in ("INT", "FLOAT"):
        return f"{options['min']:g} to {options['max']:g}"
    if kind == "COMBO" and name in MODELS:
        return "a model on your machine"
    if kind == "COMBO":
        return ", ".join(options["options"])
    if kind == "COMFY_DYNAMICCOMBO_V3":
        return ", ".join(option["key"] for option in options["options"])
    if kind == "BOOLEAN":
        return "on or off"
    if kind == "STRING":
        return "text"
    return "sockets" if kind.startswith("COMFY_AUTOGROW") else "socket"


def _starts(info: dict[str, Any], name: str, options: dict[str, Any]) -> str:
    """The default of an input; of one beneath a choice, where it is shown, or that each option has a default of its own."""
    default = options.get("default")
    choice, _, nested = name.rpartition(".")
    if choice:
        brings = {
            option["key"]: option["inputs"]["required"][nested][1]["default"]
            for option in info["input"]["required"][choice][1]["options"]
            if nested in option["inputs"].get("required", {})
        }
        if any(value != default for value in brings.values()):
            return f"; default: that of the {choice}"
        if len(brings) < len(info["input"]["required"][choice][1]["options"]):
            return f"; default {_shown(default)}; shown with {', '.join(brings)}"
    return "" if default in (None, "") or name in ("seed", *MODELS) else f"; default {_shown(default)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"'{value}'" if isinstance(value, str) else f"{value:g}"


if __name__ == "__main__":
    main()
