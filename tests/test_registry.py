"""What the registry and ComfyUI's manager read of the pack."""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from setuptools.config.pyprojecttoml import load_file

from scripts.make_manager_lists import models, nodes

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = [path for folder in ("nodes", "seeing_core") for path in sorted((ROOT / folder).rglob("*.py"))]
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "os.system",
    "subprocess.run",
    "subprocess.call",
    "subprocess.check_call",
    "subprocess.Popen",
    "pip.main",
}


def test_pyproject_keeps_the_registry_rules() -> None:
    project = load_file(ROOT / "pyproject.toml")
    name, comfy = project["project"]["name"], project["tool"]["comfy"]
    assert re.fullmatch(r"[a-z](?:[a-z0-9]|[-_.](?=[a-z0-9])){0,98}", name) and "comfyui" not in name
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])
    assert project["project"]["license"] == {"file": "LICENSE"} and (ROOT / "LICENSE").is_file()
    assert comfy["PublisherId"] and comfy["DisplayName"] and re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])


@pytest.mark.parametrize("name, width, height", [("icon", 400, 400), ("banner", 1260, 540)])
def test_icon_is_small_and_square_and_the_banner_21_to_9(name: str, width: int, height: int) -> None:
    root = xml.parse(ROOT / "web" / f"{name}.svg").getroot()
    assert (int(root.attrib["width"]), int(root.attrib["height"])) == (width, height)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_code_installs_and_evaluates_nothing(path: Path) -> None:
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    }
    assert not calls & FORBIDDEN_CALLS


def test_the_managers_lists_are_up_to_date() -> None:
    for name, content in (("node_list.json", nodes()), ("model-list.json", models())):
        assert json.loads((ROOT / name).read_text(encoding="utf-8")) == content, "python -m scripts.make_manager_lists"
    for model in models()["models"]:
        assert {"name", "type", "base", "save_path", "description", "reference", "filename", "url"} <= set(model)
        assert model["url"].startswith("https://") and model["url"].rpartition("/")[2] == model["filename"]
