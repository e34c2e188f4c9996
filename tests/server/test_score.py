"""The nodes that measure, in the real server: real videos in, numbers, words and pictures out."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest
from PIL import Image

from scripts.comfy_server import error_of, output_files
from tests.pocket.world import TEST_SEEDS, make_clip, write_clip
from tests.server.conftest import IMAGEBIND, run, video_path, workflow


@pytest.fixture(scope="module")
def horn(server, tmp_path_factory):
    """A video of the pocket world, 2 s at 8 fps, that sounds where it moves."""
    path = tmp_path_factory.mktemp("videos") / "horn.mp4"
    write_clip(make_clip(TEST_SEEDS + 7, 2.0, "horn"), path)
    return asyncio.run(server.upload(path, "horn.mp4"))


def score(file, **inputs):
    """Load Video -> Score, each number and the report shown as text, the plot saved."""
    api = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": file}},
        "2": {
            "class_type": "SeeingHearing_ScoreFit",
            "inputs": {"video": ["1", 0], "prompt": "", "fps": 8.0, "flow_size": 64} | inputs,
        },
        "plot": {"class_type": "SaveImage", "inputs": {"images": ["2", 6], "filename_prefix": "plot"}},
    }
    for output in range(6):
        api[f"text{output}"] = {"class_type": "PreviewAny", "inputs": {"source": ["2", output]}}
    return api


def texts(entry):
    return [entry["outputs"][f"text{i}"]["text"][0] for i in range(6)]


def test_a_video_with_its_own_sound(server, horn):
    entry = run(server, score(horn))
    *numbers, report = texts(entry)
    one_to_one, paper, lag_ms, correlation, binder = map(float, numbers)
    assert one_to_one >= 0.6 and paper >= one_to_one
    assert -150 <= lag_ms <= 0 and correlation > 0.3  # a picture of 8 fps shows a motion up to a frame late
    assert np.isnan(binder)
    assert re.search(r"one to one: [\d.]+ \(\d matches of \d onsets and \d motions, within 125 ms at 8 fps\)", report)
    (path,) = output_files(entry, server)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape == (720, 1200, 3)
    green = (pixels == (126, 224, 138)).all(-1).sum()
    assert green > 1000  # the lines of the matches


def test_binder_prompt_and_another_sound(server, horn, uploaded):
    api = score(horn, binder=["3", 0], prompt="a horn", audio=["5", 0])
    api["3"] = {"class_type": "SeeingHearing_LoadImageBind", "inputs": {"model": IMAGEBIND}}
    api["4"] = {"class_type": "LoadVideo", "inputs": {"file": uploaded}}
    api["5"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["4", 0]}}
    api["2"]["inputs"]["audio"] = ["5", 1]
    entry = run(server, api)
    *numbers, report = texts(entry)
    assert -1 <= float(numbers[4]) <= 1
    assert "sound and prompt" in report and "the sound is 5.31 s long, the video 2.00 s" in report
    assert output_files(entry, server)


def test_images_need_a_sound(server, horn):
    api = score(horn)
    api["3"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}}
    api["2"]["inputs"]["video"] = ["3", 0]
    assert "audio: received nothing; expected a sound. Images carry no sound" in error_of(run(server, api))
    api["2"]["inputs"]["audio"] = ["3", 1]
    assert float(texts(run(server, api))[0]) >= 0.6


def test_a_silent_video_is_named(server):
    bikes = asyncio.run(server.upload(video_path("bikes.mp4"), "bikes.mp4"))
    assert "the video has no sound track of its own" in error_of(run(server, score(bikes)))


def test_trimmed_video_is_measured_in_its_part(server, horn):
    api = score(horn)
    api["3"] = {
        "class_type": "Video Slice",
        "inputs": {"video": ["1", 0], "start_time": 0.5, "duration": 1.0, "strict_duration": False},
    }
    api["2"]["inputs"]["video"] = ["3", 0]
    entry = run(server, api)
    assert float(texts(entry)[0]) > 0.3 and "the sound is" not in texts(entry)[5]


def waveforms(api):
    """Adds the horn video's own sound as '10', and bells and silence as '11' and '12', to a workflow."""
    for i, kind in enumerate(("horn", "bell")):
        api[f"video{i}"] = {"class_type": "LoadVideo", "inputs": {"file": f"{kind}.mp4"}}
        api[f"{10 + i}"] = {"class_type": "GetVideoComponents", "inputs": {"video": [f"video{i}", 0]}}
    api["12"] = {"class_type": "EmptyAudio", "inputs": {"duration": 2.0, "sample_rate": 16000, "channels": 1}}


def pick(candidates, **inputs):
    api = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": "horn.mp4"}},
        "2": {
            "class_type": "SeeingHearing_PickBestSound",
            "inputs": {
                "video": ["1", 0],
                "measure": "AV-Align (one to one)",
                "prompt": "",
                "fps": 8.0,
                "flow_size": 64,
                **{f"candidates.audio{i}": link for i, link in enumerate(candidates)},
                **inputs,
            },
        },
        "ranking": {"class_type": "PreviewAny", "inputs": {"source": ["2", 1]}},
        "number": {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}},
        "plot": {"class_type": "SaveImage", "inputs": {"images": ["2", 3], "filename_prefix": "best"}},
        "sound": {"class_type": "SaveAudio", "inputs": {"audio": ["2", 0], "filename_prefix": "best"}},
    }
    return api


@pytest.fixture(scope="module")
def bell(server, tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "bell.mp4"
    write_clip(make_clip(TEST_SEEDS + 31, 2.0, "bell"), path)
    return asyncio.run(server.upload(path, "bell.mp4"))


@pytest.mark.parametrize("order, best", [((12, 11, 10), 3), ((10, 12, 11), 1)])
def test_the_sound_that_fits_is_picked(server, horn, bell, order, best):
    api = pick([[str(node), 0 if node == 12 else 1] for node in order])
    waveforms(api)
    entry = run(server, api)
    assert entry["outputs"]["number"]["text"] == [str(best)]
    (table,) = entry["outputs"]["ranking"]["text"]
    assert table.startswith(f"Best: candidate {best} of 3, by AV-Align (one to one)")
    assert len(output_files(entry, server)) == 2


def test_a_measure_that_lacks_its_binder_is_refused(server, horn, bell):
    api = pick([["10", 1]], measure="binder: sound and picture")
    waveforms(api)
    assert "binder: received nothing; expected a binder" in error_of(run(server, api))


def test_the_video_that_fits_is_picked(server, horn, bell):
    api = {
        "2": {
            "class_type": "SeeingHearing_PickBestVideo",
            "inputs": {
                "audio": ["10", 1],
                "candidates.video0": ["video1", 0],
                "candidates.video1": ["video0", 0],
                "measure": "AV-Align (one to one)",
                "prompt": "",
                "fps": 8.0,
                "flow_size": 64,
            },
        },
        "number": {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}},
        "save": {
            "class_type": "SaveVideo",
            "inputs": {"video": ["2", 0], "filename_prefix": "best", "format": "auto", "codec": "auto"},
        },
    }
    waveforms(api)
    entry = run(server, api)
    assert entry["outputs"]["number"]["text"] == ["2"]
    assert len(output_files(entry, server)) == 1


def test_the_candidates_of_one_socket_all_take_part(server, uploaded, horn, bell):
    """Lists, as a task node gives them: three sounds by one socket, one by another."""
    api = pick([["4", 0], ["12", 0]])
    waveforms(api)
    api["pick"] = api.pop("2")
    for watcher in ("ranking", "number", "plot", "sound"):
        [(field, (_, output))] = [item for item in api[watcher]["inputs"].items() if isinstance(item[1], list)]
        api[watcher]["inputs"][field] = ["pick", output]
    task = workflow(seed=78, candidates=3, duration=1.0)
    api |= {key: task[key] for key in ("1", "2", "3", "4")}
    entry = run(server, api)
    (table,) = entry["outputs"]["ranking"]["text"]
    assert " of 4, by AV-Align (one to one)" in table.splitlines()[0]
    assert len(output_files(entry, server)) == 2


def test_measuring_can_be_cancelled(server, uploaded, horn):
    seen = []

    def cancel(kind, data):
        if kind == "progress" and data["node"] == "2":
            seen.append(data["value"])
            if len(seen) == 3:
                server.post("/interrupt", {})

    entry = run(server, score(uploaded, flow_size=0), event=cancel)
    assert "execution_interrupted" in [kind for kind, _ in entry["status"]["messages"]]
    assert max(seen) < 500  # of 1000
    assert float(texts(run(server, score(horn)))[0]) >= 0.6


def test_alignment_is_plotted(server, uploaded):
    api = workflow(seed=77, prompt="a bell")
    api["plot"] = {"class_type": "SeeingHearing_PlotAlignment", "inputs": {"trace": ["4", 1]}}
    api["save"] = {"class_type": "SaveImage", "inputs": {"images": ["plot", 0], "filename_prefix": "trace"}}
    (path,) = [path for path in output_files(run(server, api), server) if path.name.startswith("trace")]
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape == (720, 1200, 3)
    assert (pixels == (120, 200, 255)).all(-1).sum() > 100  # the curve of the first term
