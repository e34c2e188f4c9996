"""Video to audio in the real server: a real mp4 in, the same picture with new sound out."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import av
import pytest

from scripts.comfy_server import error_of, output_files
from seeing_core.guidance.settings import VIDEO_PRESETS
from tests.server.conftest import free, run, video_path, workflow


def packets(path, kind):
    with av.open(str(path)) as video:
        return [bytes(packet) for packet in video.demux(video.streams.get(**{kind: 0})[0]) if packet.size]


def lengths(path):
    with av.open(str(path)) as video:
        return {stream.type: float(stream.duration * stream.time_base) for stream in video.streams}


def run_noting_nodes(server, api):
    """The history entry, and the ids of the nodes that were run rather than taken from the cache."""
    ran = set()
    entry = run(server, api, event=lambda kind, data: ran.add(data.get("node")) if kind == "executing" else None)
    return entry, ran


@pytest.mark.parametrize("name, seconds, frame_s", [("bigbuckbunny.mp4", 5.28, 1 / 25), ("bikes.mp4", 10.0, 1 / 25)])
def test_real_video_keeps_its_picture_and_gets_sound(server, name, seconds, frame_s):
    api = workflow(seed=1)
    api["1"]["inputs"]["file"] = asyncio.run(server.upload(video_path(name), name))
    pictures = []

    def listen(kind, data):
        if kind == "preview":
            pictures.append(data["bytes"])

    entry = run(server, api, event=listen)
    (path,) = output_files(entry, server)
    assert packets(path, "video") == packets(video_path(name), "video")
    tracks = lengths(path)
    assert set(tracks) == {"video", "audio"}
    assert tracks["video"] == pytest.approx(seconds, abs=frame_s)
    assert tracks["audio"] == pytest.approx(tracks["video"], abs=frame_s)
    with av.open(str(path)) as video:
        sound = video.streams.audio[0]
        assert (sound.codec_context.name, sound.rate, sound.channels) == ("aac", 16000, 1)
        assert max(abs(frame.to_ndarray()).max() for frame in video.decode(sound)) > 0.01
    assert any(b"\xff\xd8\xff" in picture for picture in pictures)  # a JPEG of the sound came while it was made
    (text,) = entry["outputs"]["7"]["text"]
    assert text.startswith("paper mode, strength 1, 4 steps") and len(text.splitlines()) > 3


def test_another_seed_neither_reloads_nor_embeds_again(server, uploaded):
    run(server, workflow(seed=10))
    entry, ran = run_noting_nodes(server, workflow(seed=11))
    assert "4" in ran and not {"1", "2", "3"} & ran
    assert output_files(entry, server)


def test_same_seed_comes_from_the_cache(server, uploaded):
    run(server, workflow(seed=12))
    _, ran = run_noting_nodes(server, workflow(seed=12))
    assert not {"1", "2", "3", "4", "5"} & ran


def test_cancel_while_sampling_then_run_again(server, uploaded):
    seen = []

    def cancel(kind, data):
        if kind == "progress" and data["node"] == "4":
            seen.append(data["value"])
            if len(seen) == 3:
                server.post("/interrupt", {})

    entry = run(server, workflow(steps=500, seed=20), event=cancel)
    kinds = [kind for kind, _ in entry["status"]["messages"]]
    assert "execution_interrupted" in kinds and not output_files(entry, server)
    assert max(seen) < 60
    assert output_files(run(server, workflow(seed=21)), server)


def test_measuring_the_motion_of_the_video_can_be_cancelled(server, uploaded):
    seen = []

    def cancel(kind, data):
        if kind == "progress" and data["node"] == "4":
            seen.append((data["value"], data["max"]))
            if len(seen) == 3:
                server.post("/interrupt", {})

    entry = run(server, workflow(preset="balanced", seed=22), event=cancel)
    assert "execution_interrupted" in [kind for kind, _ in entry["status"]["messages"]]
    assert {most for _, most in seen} == {1000} and max(done for done, _ in seen) < 900  # thousandths of the frames, no step


def test_no_picture_is_sent_when_the_user_wants_none(server, uploaded):
    pictures = []
    entry = run(
        server,
        workflow(seed=23),
        event=lambda kind, data: pictures.append(kind) if kind == "preview" else None,
        extra_data={"preview_method": "none"},
    )
    assert output_files(entry, server) and not pictures


def test_each_candidate_becomes_a_video_of_its_own(server, uploaded):
    entry = run(server, workflow(seed=24, candidates=3))
    paths = output_files(entry, server)
    assert len(paths) == 3 and len({packets(path, "audio")[5] for path in paths}) == 3
    assert len(entry["outputs"]["4"]["player"]) == 3
    (text,) = entry["outputs"]["7"]["text"]
    assert "candidates, best first, counted from the seed: " in text


def test_settings_take_the_place_of_the_preset_and_what_has_no_effect_is_said(server, uploaded):
    api = workflow(seed=25, duration=0.5, event_times="0.2")
    api["20"] = {
        "class_type": "SeeingHearing_AlignSettings",
        "inputs": {"preset": "video: fast"}
        | {f"preset.{field}": value for field, value in asdict(VIDEO_PRESETS["fast"]).items()},
    }
    api["21"] = {"class_type": "SeeingHearing_AlignTarget", "inputs": {"text": "metal", "weight": 1.0}}
    api["4"]["inputs"] |= {"settings": ["20", 0], "targets": ["21", 0]}
    entry = run(server, api)
    (text,) = entry["outputs"]["7"]["text"]
    assert text.startswith("x0 mode, strength 0, 4 steps: no step was guided")
    log = server.log.read_text(errors="replace")
    assert "the connected settings take the place of the preset 'paper'" in log
    assert "event times are not used" in log and "targets are not used" in log


@pytest.mark.parametrize(
    "inputs, words",
    [
        ({"duration": 0.05}, "duration: received 0.05; expected a number from 0.3"),
        ({"duration": float("nan")}, "duration: received nan"),
        ({"preset": "magic"}, "preset: received one that this node does not have; expected one of balanced, quality"),
    ],
)
def test_bad_values_are_named_and_the_server_lives_on(server, uploaded, inputs, words):
    before = sorted(server.output.rglob("*.mp4"))
    entry = run(server, workflow(**inputs))
    assert words in error_of(entry)
    assert sorted(server.output.rglob("*.mp4")) == before
    assert output_files(run(server, workflow(seed=30)), server)


@pytest.mark.parametrize(
    "field, value",
    [("steps", 0), ("duration", -1), ("preset.strength", -0.5), ("candidates", 1000), ("duration", 1e9), ("fps", 0)],
)
def test_values_out_of_range_are_refused_before_running(server, uploaded, field, value):
    with pytest.raises(RuntimeError, match=field):
        run(server, workflow(**{field: value}))


@pytest.mark.parametrize("value", ["../../etc/passwd", "/etc/passwd", "nothing_here"])
def test_model_names_never_leave_their_folder(server, uploaded, value):
    api = workflow()
    api["2"]["inputs"]["model"] = value
    with pytest.raises(RuntimeError, match="model"):
        run(server, api)


def test_unreadable_video_is_named(server):
    (server.base / "input" / "broken.mp4").write_bytes(video_path("bikes.mp4").read_bytes()[:3000])
    api = workflow()
    api["1"]["inputs"]["file"] = "broken.mp4"
    assert "broken.mp4" in error_of(run(server, api))


def test_damaged_checkpoint_is_named(server, uploaded):
    folder = server.base / "models" / "imagebind"
    (folder / "cut.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    api = workflow()
    api["3"]["inputs"]["model"] = "cut.safetensors"
    message = error_of(run(server, api))
    assert "cut.safetensors" in message and "expected" in message


def test_images_with_fps_instead_of_a_video(server, uploaded):
    api = workflow(fps=25.0, duration=0.0)
    api["20"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}}
    api["4"]["inputs"]["video"] = ["20", 0]
    (path,) = output_files(run(server, api), server)
    assert lengths(path)["audio"] == pytest.approx(5.28, abs=1 / 25)


def test_key_frames_of_a_video(server, uploaded):
    api = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": uploaded}},
        "2": {"class_type": "SeeingHearing_KeyFrames", "inputs": {"video": ["1", 0], "count": 3}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "key"}},
    }
    assert len(output_files(run(server, api), server)) == 3


def test_trimmed_video_gets_sound_of_the_trimmed_length(server, uploaded):
    api = workflow()
    api["8"] = {
        "class_type": "Video Slice",
        "inputs": {"video": ["1", 0], "start_time": 1.0, "duration": 2.0, "strict_duration": False},
    }
    for node in ("4", "5"):
        api[node]["inputs"]["video"] = ["8", 0]
    (path,) = output_files(run(server, api), server)
    tracks = lengths(path)
    assert tracks["video"] == pytest.approx(2.0, abs=1 / 25) and tracks["audio"] == pytest.approx(2.0, abs=1 / 25)


def test_models_are_freed_when_asked(server, uploaded):
    run(server, workflow(seed=40))
    free(server)
    for _ in range(2):  # the server frees between two runs: a prompt that arrives at once may still come before that
        entry, ran = run_noting_nodes(server, workflow(seed=40))
        if ran:
            break
    assert {"2", "3", "4"} <= ran and output_files(entry, server)
