"""Help pages, translations, aliases: nothing is missing, nothing is stale, for any node of the pack."""

from __future__ import annotations

import json
import re

import pytest

from scripts.comfy_server import ROOT
from scripts.make_help import FOLDER, tables
from scripts.make_locales import LANGUAGES, leaves, node_definitions

# Names and signs that are the same in the other language.
SAME_WORDS = {
    "AV-Align",
    "Seed",
    "seed",
    "prompt",
    "Prompt",
    "fps",
    "audio",
    "Audio",
    "video",
    "Video",
    "base",
    "Binder",
    "binder",
    "image",
    "images",
    "description",
    "text",
    "Text",
    "mode",
    "candidates",
    "preset",
    "media",
    "model",
}
MESSAGE_SYNTAX = re.compile(r"[{}@|]")  # vue-i18n would take these for its own


@pytest.fixture(scope="module")
def nodes(server):
    return {name: info for name, info in server.get("/object_info").items() if name.startswith("SeeingHearing_")}


def texts(language: str) -> dict[str, str]:
    return dict(leaves(json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))))


def test_english_words_are_those_of_the_nodes(nodes):
    assert texts("en") == dict(leaves(node_definitions(nodes))), "python -m scripts.make_locales"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_is_translated(language):
    english, other = texts("en"), texts(language)
    assert sorted(set(english) - set(other)) == [], "missing: python -m scripts.make_locales prints them"
    assert sorted(set(other) - set(english)) == [], "stale"
    assert [path for path in english if not other[path].strip()] == []
    same = {text for path, text in english.items() if other[path] == text}
    assert same <= SAME_WORDS


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_no_word_is_taken_for_syntax(language):
    assert [text for text in texts(language).values() if MESSAGE_SYNTAX.search(text)] == []


def test_the_server_hands_the_words_to_the_page(server):
    words = server.get("/i18n")
    for language in ("en", *LANGUAGES):
        assert (
            words[language]["nodeDefs"]["SeeingHearing_VideoToAudio"]["display_name"]
            == texts(language)["SeeingHearing_VideoToAudio.display_name"]
        )


def test_every_node_has_a_help_page_that_is_up_to_date(nodes):
    for name, info in nodes.items():
        page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
        assert page.startswith("# " + info["display_name"]), name
        assert page.endswith(tables(info)), f"{name}: python -m scripts.make_help"
        for part in ("## Typical values\n\n- ", "## Common mistakes\n\n- "):
            assert part in page, name
        pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page)
        assert f"pictures/{name}.png" in pictures, name
        for picture in pictures:
            assert (FOLDER / picture).is_file(), f"{name}: {picture}"
    assert {path.stem for path in FOLDER.glob("SeeingHearing_*.md")} == set(nodes), "a page without its node"


def test_nodes_are_found_by_the_words_of_artists(nodes):
    for name, info in nodes.items():
        assert len(info["search_aliases"]) >= 3, name
    for words, name in {
        "foley": "VideoToAudio",
        "sound effect": "VideoToAudio",
        "sfx": "ImageToAudio",
        "v2a": "VideoToAudio",
        "audio reactive": "AudioToVideo",
        "compare seeds": "Compare",
    }.items():
        assert words in nodes[f"SeeingHearing_{name}"]["search_aliases"]
