"""PE-AV in the place of ImageBind, in the real server: every task, Align Model, and the nodes that describe and measure."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from torchvision.transforms.functional import to_pil_image

from scripts.comfy_page import chromium, open_page
from scripts.comfy_server import ROOT, error_of, output_files
from seeing_core.guidance.settings import AUDIO_PRESETS
from tests.pe_av_folders import write_pe_av
from tests.pocket.world import TEST_SEEDS, make_clip, write_clip
from tests.server.conftest import DEFAULTS, align_settings, run, two_drafts
from tests.server.test_page_runs import run as press_run

NAME, CLIP, PICTURE = "pe-av-small", "pe_av_clip.mp4", "pe_av_picture.png"
GIVEN = {"LoadVideo": {"file": CLIP}, "LoadAudio": {"audio": CLIP}, "LoadImage": {"image": PICTURE}}


@pytest.fixture(scope="module", autouse=True)
def media(server, tmp_path_factory):
    """A stand-in under the real name, and a clip of the pocket world with its sound and a picture of it."""
    write_pe_av(server.base / "models" / "pe_av" / NAME)
    clip, path = make_clip(TEST_SEEDS + 7, 2.0, "horn"), tmp_path_factory.mktemp("videos") / CLIP
    write_clip(clip, path)
    asyncio.run(server.upload(path, CLIP))
    to_pil_image(clip.frames[8]).save(server.base / "input" / PICTURE)


def with_pe_av(name, model="pocket (built in)"):
    """A shared workflow, quick, its binder replaced."""
    api = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in api.values():
        kind = node["class_type"].removeprefix("SeeingHearing_")
        node["inputs"] |= GIVEN.get(kind, {})
        if kind == "LoadImageBind":
            node["class_type"], node["inputs"] = "SeeingHearing_LoadPeAv", {"model": model}
        elif kind in DEFAULTS or kind == "KSampler":
            node["inputs"]["steps"] = 4
    return api


def trace_text(server, api, kinds=DEFAULTS):
    number = next(key for key, node in api.items() if node["class_type"].removeprefix("SeeingHearing_") in kinds)
    name = api[number]["class_type"]
    place = server.get(f"/object_info/{name}")[name]["output"].index("SEEING_TRACE")
    api["trace"] = {"class_type": "PreviewAny", "inputs": {"source": [number, place]}}
    entry = run(server, api)
    assert output_files(entry, server)
    return entry["outputs"]["trace"]["text"][0]


def test_it_is_listed_with_the_well_known_ones(server):
    listed = server.get("/object_info/SeeingHearing_LoadPeAv")["SeeingHearing_LoadPeAv"]["input"]["required"]["model"]
    names = listed[1]["options"] if isinstance(listed[0], str) else listed[0]
    assert names[0] == "pocket (built in)" and NAME in names and "pe-av-large-16-frame" in names


@pytest.mark.parametrize("name", ["pocket_video_to_audio", "pocket_image_to_audio"])
def test_sounds(server, name):
    assert "drafts compared by PE-AV" in trace_text(server, with_pe_av(name))


@pytest.mark.parametrize("name", ["pocket_audio_to_video", "pocket_video_and_audio_together"])
def test_videos(server, name):
    assert "guided by PE-AV" in trace_text(server, with_pe_av(name))


def test_a_stand_in_of_the_real_layout_guides(server):
    api = with_pe_av("pocket_video_to_audio", NAME)
    assert "drafts compared by PE-AV" in trace_text(server, api)
    task = next(node for node in api.values() if node["class_type"] == "SeeingHearing_VideoToAudio")
    task["inputs"]["preset"] = "x0"
    assert "guided by PE-AV" in trace_text(server, api)


def test_moments_in_a_task_and_under_align_model(server):
    settings = align_settings("audio: x0", replace(AUDIO_PRESETS["x0"], moment_weight=1.0, start_fraction=0.0))
    api = with_pe_av("pocket_video_to_audio") | {"20": settings}
    task = next(node for node in api.values() if node["class_type"] == "SeeingHearing_VideoToAudio")
    task["inputs"]["settings"] = ["20", 0]
    assert "moments" in trace_text(server, api).splitlines()[1]
    api = with_pe_av("pocket_align_model") | {"20": settings}
    model = next(node for node in api.values() if node["class_type"] == "SeeingHearing_AlignModel")
    model["inputs"]["settings"] = ["20", 0]
    text = trace_text(server, api, kinds={"AlignmentReport"})
    assert "guided by PE-AV" in text and "moments" in text


def test_describe_score_and_pick_best(server):
    api = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": CLIP}},
        "2": {"class_type": "SeeingHearing_LoadPeAv", "inputs": {"model": "pocket (built in)"}},
        "3": {
            "class_type": "SeeingHearing_Describe",
            "inputs": {"binder": ["2", 0], "media": ["1", 0], "phrases": "a cyan horn honking\na pink fan whirring", "count": 1}
            | {"own_phrases": "instead of the built-in list"},
        },
        "4": {
            "class_type": "SeeingHearing_ScoreFit",
            "inputs": {"video": ["1", 0], "prompt": "a horn", "fps": 8.0, "flow_size": 64, "binder": ["2", 0]},
        },
        "5": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
        "6": {"class_type": "PreviewAny", "inputs": {"source": ["4", 5]}},
    }
    outputs = run(server, api)["outputs"]
    assert outputs["5"]["text"][0] == "a cyan horn honking"
    assert "Binder similarity (PE-AV): sound and picture" in outputs["6"]["text"][0]


def test_an_absent_one_says_where_to_get_it(server):
    api = with_pe_av("pocket_video_to_audio", "pe-av-base")
    words = error_of(run(server, api))
    assert (
        "huggingface.co/facebook/pe-av-base" in words and "models/pe_av" in words.replace("\\", "/") and "Apache 2.0" in words
    )


@pytest.mark.parametrize(
    "nodes2, names",
    [
        (True, ["video_to_audio", "image_to_audio", "audio_to_video", "video_and_audio_together", "align_model"]),
        (False, ["video_to_audio", "align_model"]),
    ],
    ids=["nodes2", "classic"],
)
def test_it_runs_from_the_page(server, nodes2, names):
    with chromium() as browser:
        page = open_page(browser, server, nodes2=nodes2)
        for name in names:
            api = two_drafts(with_pe_av(f"pocket_{name}"))
            page.evaluate("async (api) => { await window.app.loadApiJson(api, 'second binder') }", api)
            entry = press_run(page, server)
            assert not error_of(entry) and output_files(entry, server), name
