"""Caption and describe in the real server; captioners leave memory as soon as they have answered."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import pytest

from scripts.comfy_server import COMFYUI, ROOT, error_of
from tests.server.conftest import IMAGEBIND, run, workflow
from tests.server.own_process import run_script
from tests.stand_ins_captions import write_blip, write_qwen2_audio, write_qwen_vl

QWEN, BLIP, LISTENER = "Qwen2-VL-2B-Instruct", "Salesforce/blip-image-captioning-base", "Qwen/Qwen2-Audio-7B-Instruct"


def write_captioners(base: Path) -> None:
    """Stand-ins as users lay them down: by their last name, and with their author's folder."""
    write_qwen_vl(base / "models" / "LLM" / QWEN)
    write_qwen2_audio(base / "models" / "diffusers" / LISTENER)


@pytest.fixture(scope="module")
def captioners(server):
    write_captioners(server.base)
    write_blip(server.base / "models" / "LLM" / BLIP)


def caption_image(model: str, **inputs) -> dict:
    values = {"model": model, "prompt": "what is this", "pictures": "each", "max_tokens": 8, "trust_remote_code": False}
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 2, "color": 0xAA5500}},
        "2": {"class_type": "SeeingHearing_CaptionImage", "inputs": values | {"images": ["1", 0]} | inputs},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }


def caption_audio(model: str, **inputs) -> dict:
    values = {"model": model, "prompt": "", "max_tokens": 8, "audio": ["1", 0]}
    return {
        "1": {"class_type": "EmptyAudio", "inputs": {"duration": 2.0, "sample_rate": 44100, "channels": 2}},
        "2": {"class_type": "SeeingHearing_CaptionAudio", "inputs": values | inputs},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }


def describe(media: dict, **inputs) -> dict:
    values = {"binder": ["1", 0], "media": ["2", 0], "phrases": "", "count": 3}
    values["own_phrases"] = "instead of the built-in list"
    return {
        "1": {"class_type": "SeeingHearing_LoadImageBind", "inputs": {"model": IMAGEBIND}},
        "2": media,
        "3": {"class_type": "SeeingHearing_Describe", "inputs": values | inputs},
        "4": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
        "5": {"class_type": "PreviewAny", "inputs": {"source": ["3", 1]}},
    }


def text_of(entry: dict, node: str) -> str:
    assert not error_of(entry)
    (text,) = entry["outputs"][node]["text"]
    return text


@pytest.mark.parametrize("model", [QWEN, "Qwen/Qwen2-VL-2B-Instruct", BLIP])
def test_pictures_are_captioned(server, captioners, model):
    caption = text_of(run(server, caption_image(model)), "3")
    assert caption and "<|" not in caption and "[" not in caption


def test_a_sound_is_captioned_and_silence_noted(server, captioners):
    text_of(run(server, caption_audio(LISTENER)), "3")
    assert "Caption Audio: the sound is silent" in server.log.read_text(errors="replace")


def test_found_and_well_known_models_are_listed(server, captioners):
    def options(node):
        return server.get(f"/object_info/{node}")[node]["input"]["required"]["model"][1]["options"]

    listed = options("SeeingHearing_CaptionImage")
    assert {QWEN, BLIP, "Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen3-VL-2B-Instruct"} <= set(listed) and LISTENER not in listed
    assert options("SeeingHearing_CaptionAudio") == [LISTENER]


def test_an_absent_model_says_where_to_get_it(server, captioners):
    message = error_of(run(server, caption_image("Qwen/Qwen3-VL-2B-Instruct")))
    assert all(
        words in message
        for words in (
            "Qwen/Qwen3-VL-2B-Instruct",
            str(server.base / "models" / "LLM"),
            "https://huggingface.co/Qwen/Qwen3-VL-2B-Instruct",
            "models/LLM/Qwen3-VL-2B-Instruct",
            "4.3 GB",
            "Salesforce/blip-image-captioning-base",
        )
    )


@pytest.mark.parametrize("value", ["../../etc", "/etc", "nothing_here"])
def test_captioner_names_never_leave_their_folder(server, captioners, value):
    with pytest.raises(RuntimeError, match="model"):
        run(server, caption_image(value))


def test_models_with_code_of_their_own_are_refused(server, captioners):
    folder = server.base / "models" / "LLM" / "own-code"
    folder.mkdir()
    config = {"model_type": "own", "auto_map": {"AutoModelForImageTextToText": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(folder / 'ran')!r}).touch()\n")
    message = error_of(run(server, caption_image("own-code")))
    assert "own-code" in message and "trust_remote_code" in message and not (folder / "ran").exists()
    run(server, caption_image("own-code", trust_remote_code=True))
    assert "trust_remote_code is on" in server.log.read_text(errors="replace")


def test_a_caption_is_a_prompt(server, captioners, uploaded):
    api = workflow(prompt=["22", 0], seed=50, duration=0.5)
    api["20"] = {"class_type": "SeeingHearing_KeyFrames", "inputs": {"video": ["1", 0], "count": 2}}
    api["22"] = caption_image(QWEN, images=["20", 0])["2"]
    entry = run(server, api)
    assert not error_of(entry) and entry["outputs"]


@pytest.mark.parametrize(
    "media",
    [
        {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 2, "color": 0xAA5500}},
        {"class_type": "LoadVideo", "inputs": {"file": "silent_clip.mp4"}},
        {"class_type": "EmptyAudio", "inputs": {"duration": 2.0, "sample_rate": 44100, "channels": 2}},
    ],
)
def test_pictures_videos_and_sounds_are_described(server, uploaded, media):
    entry = run(server, describe(media, phrases="a dog\na cat\n\na bell", count=2))
    best, lines = text_of(entry, "4").split(", "), text_of(entry, "5").splitlines()
    assert len(best) == 2 and set(best) < {"a dog", "a cat", "a bell"}
    assert [line.split("  ")[1] for line in lines] == best
    scores = [float(line.split("  ")[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)


def test_own_phrases_beside_the_built_in_ones(server, uploaded):
    media = {"class_type": "LoadVideo", "inputs": {"file": uploaded}}
    wide = {"count": 600, "own_phrases": "beside the built-in list"}
    built_in, both = (
        text_of(run(server, describe(media, phrases=own, **wide)), "5").splitlines()
        for own in ("", "my very own thing\na dog barking")
    )
    assert 300 <= len(built_in) <= 500 and len(both) == len(built_in) + 1
    assert "my very own thing" in "\n".join(both)


def test_a_captioner_is_gone_when_it_has_answered_and_never_calls_the_hub(tmp_path):
    """In a process of its own, where what is in memory can be counted; with the Hub allowed, and listened for."""
    write_captioners(tmp_path)
    cached = tmp_path / "hf" / "hub" / "models--Salesforce--blip-image-captioning-base"
    write_blip(cached / "snapshots" / "0123abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123abc")
    calls: list[str] = []
    hub = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                connection, _ = hub.accept()
            except OSError:
                return
            calls.append("called")
            connection.close()

    threading.Thread(target=listen, daemon=True).start()
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    environment = {name: value for name, value in os.environ.items() if name not in offline}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}", "HF_HOME": str(tmp_path / "hf")}
    report = run_script("borrowing.py", COMFYUI, ROOT, tmp_path, timeout=180, env=environment)
    hub.close()
    assert report["caption"] and report["heard"] and report["from the cache"]
    assert report["during"] == report["during audio"] == {"networks": 1, "managed": 1}
    assert report["after"] == report["after audio"] == report["after cancel"] == {"networks": 0, "managed": 0}
    assert report["cancel"] == "InterruptProcessingException"
    assert not calls
