"""Writes locales/<language>/nodeDefs.json, the editor's words for every node, input, output and tooltip.

English comes from the nodes themselves. Other languages keep the translation that each English sentence has; one whose
English was changed is dropped, for it may no longer be true.

    .venv/bin/python -m scripts.make_locales                     prints as JSON what has no translation, for each language
    .venv/bin/python -m scripts.make_locales de words.json ...   adds translations: {"English sentence": "German sentence"}
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.comfy_server import ROOT, ComfyServer

LANGUAGES = ("zh", "ja", "ko", "fr", "es", "de", "ru")
FOLDER = ROOT / "locales"
Tree = dict[str, Any]


def main(words: list[str]) -> None:
    added = {language: read(Path(file)) for language, file in zip(words[::2], words[1::2], strict=True)}
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        english = node_definitions(server.get("/object_info"))
    before = read(FOLDER / "en" / "nodeDefs.json")
    missing = {}
    for language in LANGUAGES:
        file = FOLDER / language / "nodeDefs.json"
        catalog = memory(before, read(file)) | added.get(language, {})
        write(file, translated(english, catalog))
        missing[language] = sorted({text for _, text in leaves(english)} - set(catalog))
    write(FOLDER / "en" / "nodeDefs.json", english)
    print(json.dumps({language: texts for language, texts in missing.items() if texts}, indent=1, ensure_ascii=False))


def node_definitions(object_info: Tree) -> Tree:
    """The English words of this pack's nodes, in the form that ComfyUI's page looks them up."""
    return {name: _definition(info) for name, info in sorted(object_info.items()) if name.startswith("SeeingHearing_")}


def all_inputs(definition: Tree, prefix: str = "") -> Iterator[tuple[str, str, Tree]]:
    """(name, type, options) of every input. One beneath a choice is called "choice.input" and comes once, however many options
    bring it."""
    for group in ("required", "optional"):
        for name, (kind, options) in definition.get(group, {}).items():
            yield prefix + name, kind, options
            if kind == "COMFY_DYNAMICCOMBO_V3":
                nested = {
                    found[0]: found
                    for option in options["options"]
                    for found in all_inputs(option["inputs"], f"{prefix}{name}.")
                }
                yield from nested.values()


def spoken(name: str, options: Tree) -> str:
    """What an input is called in the editor."""
    return options.get("display_name") or name.rpartition(".")[2].replace("_", " ")


def _definition(info: Tree) -> Tree:
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {
            name.replace(".", "_"): {"name": spoken(name, options), "tooltip": options["tooltip"]}
            for name, _, options in all_inputs(info["input"])
        },  # the page writes a point in a name as _
        "outputs": {
            str(index): {"name": name.replace("_", " "), "tooltip": tip}
            for index, (name, tip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
        },
    }


def leaves(tree: Tree, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, text) of every text."""
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from leaves(value, here)
        else:
            yield here, value


def memory(english: Tree, other: Tree) -> dict[str, str]:
    """Each English text that has a translation, with it."""
    texts = dict(leaves(other))
    return {text: texts[path] for path, text in leaves(english) if path in texts}


def translated(english: Tree, catalog: dict[str, str]) -> Tree:
    """The same tree in another language; what is not known is left out."""
    made: Tree = {}
    for key, value in english.items():
        if isinstance(value, dict):
            made[key] = translated(value, catalog)
        elif value in catalog:
            made[key] = catalog[value]
    return made


def read(file: Path) -> Tree:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def write(file: Path, tree: Tree) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
