"""Compare in the real server: sounds for one video, and videos of their own, side by side."""

from __future__ import annotations

import json

import av
import pytest

from scripts.comfy_server import error_of, output_files
from scripts.demo import sample_sound
from tests.server.conftest import run, workflow


@pytest.fixture(scope="module", autouse=True)
def sound(server):
    sample_sound(server.base / "input")


def compare(uploaded: str, candidates: dict, **inputs) -> dict:
    """One second of the video, two sounds to choose from; the sheet and the video are saved, the report is shown."""
    values = {"labels": "knock\nnothing", "prompt": "", "fps": 8, "flow_size": 64}
    return {
        "1": {"class_type": "LoadVideo", "inputs": {"file": uploaded}},
        "2": {
            "class_type": "Video Slice",
            "inputs": {"video": ["1", 0], "start_time": 0.0, "duration": 1.0, "strict_duration": False},
        },
        "3": {"class_type": "LoadAudio", "inputs": {"audio": "sound.wav"}},
        "4": {"class_type": "EmptyAudio", "inputs": {"duration": 0.5, "sample_rate": 44100, "channels": 2}},
        "5": {
            "class_type": "SeeingHearing_Compare",
            "inputs": values | {f"candidates.candidate{n}": link for n, link in enumerate(candidates)} | inputs,
        },
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "sheet"}},
        "7": {
            "class_type": "SaveVideo",
            "inputs": {"video": ["5", 1], "filename_prefix": "reel", "format": "auto", "codec": "auto"},
        },
        "8": {"class_type": "PreviewAny", "inputs": {"source": ["5", 2]}},
    }


def seconds(path) -> dict[str, float]:
    with av.open(str(path)) as video:
        return {stream.type: float(stream.duration * stream.time_base) for stream in video.streams}


def test_sounds_are_heard_one_after_another_with_their_video(server, uploaded):
    entry = run(server, compare(uploaded, [["3", 0], ["4", 0]], video=["2", 0]))
    sheet, reel = sorted(output_files(entry, server), key=lambda path: path.suffix, reverse=True)
    assert seconds(reel) == {"video": pytest.approx(2.0, abs=0.05), "audio": pytest.approx(2.0, abs=0.05)}
    (report,) = entry["outputs"]["8"]["text"]
    knock, nothing = report.splitlines()
    assert knock.startswith("knock: AV-Align") and nothing.startswith("nothing: ")
    assert entry["outputs"]["5"]["player"][0]["filename"].endswith(".mp4")  # played on the node
    assert sheet.stat().st_size > 10_000


def test_the_candidates_of_one_socket_are_all_shown(server, uploaded):
    api = compare(uploaded, [["14", 0], ["4", 0]], labels="one\ntwo\nnothing") | {
        f"1{key}": node
        for key, node in json.loads(json.dumps(workflow(seed=79, candidates=2, duration=1.0)).replace('["', '["1')).items()
        if key in ("1", "2", "3", "4")
    }
    entry = run(server, api)
    assert [line.partition(":")[0] for line in entry["outputs"]["8"]["text"][0].splitlines()] == ["one", "two", "nothing"]


def test_sounds_without_a_video_are_not_scored(server, uploaded):
    entry = run(server, compare(uploaded, [["3", 0]]))
    assert entry["outputs"]["8"]["text"] == ["knock: not scored: no video"]


def test_videos_bring_their_own_sound(server, uploaded):
    entry = run(server, compare(uploaded, [["2", 0], ["2", 0]]))
    (reel,) = [path for path in output_files(entry, server) if path.suffix == ".mp4"]
    assert seconds(reel)["audio"] == pytest.approx(2.0, abs=0.05)


def test_images_without_a_sound_are_named(server, uploaded):
    api = compare(uploaded, [["9", 0]])
    api["9"] = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 4, "color": 0}}
    assert "audio: received nothing" in error_of(run(server, api))
