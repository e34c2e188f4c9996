"""The README and the pages it leads to: links resolve, commands exist, every node is named."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "seeing_core/README.md",
        "seeing_core/batch/README.md",
        "seeing_core/guidance/METHOD.md",
        "tests/benchmarks/RESULTS.md",
    )
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / link).exists(), link
    for module in set(re.findall(r"python -m ((?:scripts|tests|seeing_core)[.\w]*)", text)):
        assert importlib.util.find_spec(module.rstrip(".")), module


def test_every_node_is_named_with_its_help_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "web" / "docs").glob("SeeingHearing_*.md")}
    assert pages == set(re.findall(r"web/docs/(\w+\.md)", text)) and len(pages) == 25
