"""Real file names in the real server: found where users keep them, fetched when asked, refused by name, given back."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from scripts.comfy_server import ROOT, ComfyServer, error_of, output_files
from tests.hub import open_hub
from tests.server.conftest import GIVES_BACK, reserved, reserved_after_freeing, run
from tests.server.test_captions import caption_audio, caption_image
from tests.stand_ins import IMAGEBIND_SIZES, write_imagebind, write_imagebind_of
from tests.stand_ins_captions import write_blip, write_qwen2_audio, write_qwen_vl
from tests.stand_ins_original import (
    original_audioldm,
    original_motion,
    original_sd,
    write,
    write_wide_audioldm,
    write_wide_motion,
    write_wide_sd,
)

IMAGEBIND, AUDIO = "imagebind_huge.pth", "authors/audioldm-s-full.ckpt"
BASE, MOTION = "sd15/dream.safetensors", "mm_sd_v15_v2.ckpt"
FETCHED = (
    "v3_sd15_mm.ckpt"  # the one well-known file whose checksum is the server's word, so that a stand-in may take its place
)


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """The originals' naming in one folder, diffusers folders in another."""
    folder = tmp_path_factory.mktemp("wide")
    write(original_audioldm(write_wide_audioldm(folder / "audio")), folder / "audio.ckpt")
    write(original_sd(write_wide_sd(folder / "sd")), folder / "sd.safetensors")
    write(original_motion(write_wide_motion(folder / "motion")), folder / "motion.ckpt")
    return folder


@pytest.fixture(scope="module")
def hub_and_server(tmp_path_factory, stand_ins):
    """A server that may go online, whose hub is ours; its models lie in a second root, named in extra_model_paths.yaml."""
    base, other = tmp_path_factory.mktemp("comfyui"), tmp_path_factory.mktemp("big disk")
    for name, place in (
        ("audio.ckpt", other / "sounds" / AUDIO),
        ("sd.safetensors", other / "checkpoints" / BASE),
        ("motion.ckpt", base / "models" / "animatediff_models" / MOTION),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(stand_ins / name, place)
    shutil.copytree(stand_ins / "audio" / "tokenizer", other / "sounds" / "authors" / "tokenizer")
    write_imagebind(base / "models" / "imagebind" / IMAGEBIND)
    yaml = base / "extra.yaml"
    yaml.write_text(f"big:\n  base_path: {json.dumps(str(other))}\n  audioldm: sounds\n  checkpoints: checkpoints\n")
    with open_hub() as (address, shelf), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", address)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        shelf.files["guoyww/animatediff", FETCHED] = (stand_ins / "motion.ckpt").read_bytes()
        shelf.files["stable-diffusion-v1-5/stable-diffusion-v1-5", "v1-5-pruned-emaonly.safetensors"] = os.urandom(200_000)
        options = ["--extra-model-paths-config", str(yaml)]
        with ComfyServer(base, options=options, environment=GIVES_BACK) as server:
            yield shelf, server


@pytest.fixture
def server(hub_and_server):
    return hub_and_server[1]


def options(server, node, field):
    return server.get(f"/object_info/SeeingHearing_{node}")[f"SeeingHearing_{node}"]["input"]["required"][field][1]["options"]


def video_and_sound(**inputs) -> dict:
    """Joint generation with all three models, as small as it goes."""
    values = {
        "LoadAudioLDM": {"model": AUDIO},
        "LoadAnimateDiff": {"base": BASE, "motion": MOTION},
        "LoadImageBind": {"model": IMAGEBIND},
    }
    values = {name: own | inputs.get(name, {}) for name, own in values.items()}
    nodes = {name: {"class_type": f"SeeingHearing_{name}", "inputs": own} for name, own in values.items()}
    task = {
        "video_model": ["LoadAnimateDiff", 0],
        "audio_model": ["LoadAudioLDM", 0],
        "binder": ["LoadImageBind", 0],
        "prompt": "a bell",
        "negative_prompt": "",
        "steps": 2,
        "strength": 1.0,
        "prompt_strength": 0.0,
        "duration": 0.5,
        "fps": 4.0,
        "seed": 1,
        "width": 64,
        "height": 64,
        "video_guidance_scale": 2.0,
        "audio_guidance_scale": 2.0,
        "vision_weight": 1.0,
        "text_weight": 1.0,
        "audio_weight": 1.0,
    }
    catalog = json.loads((ROOT / "workflows" / "api" / "video_and_audio_together.json").read_text(encoding="utf-8"))
    own = next(node["inputs"] for node in catalog.values() if node["class_type"] == "SeeingHearing_VideoAndAudio")
    return nodes | {
        "task": {
            "class_type": "SeeingHearing_VideoAndAudio",
            "inputs": {key: task.get(key, value) for key, value in own.items()},
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["task", 0], "filename_prefix": "made"}},
        "sound": {"class_type": "SaveAudio", "inputs": {"audio": ["task", 1], "filename_prefix": "made"}},
    }


def test_what_is_found_and_what_is_well_known_is_listed(server):
    audio = options(server, "LoadAudioLDM", "model")
    assert (
        audio[0] == "pocket (built in)"
        and AUDIO in audio
        and audio[-3:] == ["audioldm-s-full-v2", "audioldm-m-full", "audioldm-l-full"]
    )
    assert {BASE, "v1-5-pruned-emaonly.safetensors"} <= set(options(server, "LoadAnimateDiff", "base"))
    motion = options(server, "LoadAnimateDiff", "motion")
    assert motion.count(MOTION) == 1 and FETCHED in motion
    assert options(server, "LoadImageBind", "model") == ["pocket (built in)", IMAGEBIND]


def test_originals_in_several_roots_and_subfolders_make_video_and_sound(server):
    entry = run(server, video_and_sound())
    assert not error_of(entry) and len(output_files(entry, server)) == 3  # two frames and a sound


def test_nothing_is_fetched_unasked(hub_and_server):
    shelf, server = hub_and_server
    shelf.asked.clear()
    message = error_of(run(server, video_and_sound(LoadAnimateDiff={"motion": FETCHED})))
    for words in (
        FETCHED,
        "not on this machine",
        str(server.base / "models" / "animatediff_models"),
        "1.7 GB",
        "Apache 2.0",
        "https://huggingface.co/guoyww/animatediff",
        "download_if_missing",
    ):
        assert words in message
    assert not shelf.asked


def test_a_well_known_file_is_fetched_when_asked_and_used(hub_and_server):
    shelf, server = hub_and_server
    bar = []
    workflow = video_and_sound(LoadAnimateDiff={"motion": FETCHED, "download_if_missing": True})
    entry = run(server, workflow, event=lambda kind, data: bar.append(data) if kind == "progress" else None)
    assert not error_of(entry) and len(output_files(entry, server)) == 3
    assert any(data["node"] == "LoadAnimateDiff" for data in bar)
    folder = server.base / "models" / "animatediff_models"
    assert (folder / FETCHED).read_bytes() == shelf.files["guoyww/animatediff", FETCHED]
    assert sorted(path.name for path in folder.iterdir()) == sorted([MOTION, FETCHED])
    assert "Fetching v3_sd15_mm.ckpt (1.7 GB, Apache 2.0)" in server.log.read_text(errors="replace")


def test_cancel_keeps_what_has_come_and_the_next_run_goes_on_from_it(hub_and_server, tmp_path):
    shelf, server = hub_and_server
    folder = server.base / "models" / "animatediff_models"
    (folder / FETCHED).unlink(missing_ok=True)
    # The library hands on 10 MB at a time: a file to be cut in the middle has to be larger. Room for 4000 frames makes it so.
    content = write(original_motion(write_wide_motion(tmp_path / "long", frames=4000)), tmp_path / "long.ckpt").read_bytes()
    usual, shelf.files["guoyww/animatediff", FETCHED] = shelf.files["guoyww/animatediff", FETCHED], content
    shelf.asked.clear()
    # Its own precision: ComfyUI remembers what the loader made of the same inputs in another test.
    workflow = video_and_sound(LoadAnimateDiff={"motion": FETCHED, "download_if_missing": True, "precision": "fp32"})

    def cancel(kind: str, data: dict) -> None:
        if kind == "progress" and data["node"] == "LoadAnimateDiff" and data["value"] > 0:
            server.post("/interrupt", {})

    shelf.pause_s = 0.3  # for each MB: time enough for the cancel to arrive
    entry = run(server, workflow, event=cancel)
    shelf.pause_s = 0.0
    assert "execution_interrupted" in [kind for kind, _ in entry["status"]["messages"]] and not error_of(entry)
    (part,) = folder.glob(f"{FETCHED}.*.part")
    have = part.stat().st_size
    assert 0 < have < len(content) and part.read_bytes() == content[:have] and not (folder / FETCHED).exists()

    entry = run(server, workflow)
    assert not error_of(entry) and len(output_files(entry, server)) == 3
    assert shelf.fetched(FETCHED) == ["", f"bytes={have}-"]
    assert (folder / FETCHED).read_bytes() == content and not part.exists()
    (folder / FETCHED).unlink()
    shelf.files["guoyww/animatediff", FETCHED] = usual


@pytest.mark.parametrize(
    "name, stand_in, asked",
    [
        ("Qwen/Qwen2-VL-2B-Instruct", write_qwen_vl, caption_image),
        ("Salesforce/blip-image-captioning-base", write_blip, caption_image),
        ("Qwen/Qwen2-Audio-7B-Instruct", write_qwen2_audio, caption_audio),
    ],
)
def test_captioners_are_fetched_when_asked_and_used(hub_and_server, tmp_path, name, stand_in, asked):
    shelf, server = hub_and_server
    there = stand_in(tmp_path / "there")
    files = {path.relative_to(there).as_posix(): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    shelf.files |= {(name, file): content for file, content in files.items()}
    shelf.asked.clear()
    message = error_of(run(server, asked(name)))
    assert f"'{name}', which is not on this machine" in message and f"https://huggingface.co/{name}" in message
    assert not shelf.asked
    entry = run(server, asked(name, download_if_missing=True))
    assert not error_of(entry) and entry["outputs"]["3"]["text"] != [""]
    here = server.base / "models" / "LLM" / name.rpartition("/")[2]
    assert {path.relative_to(here).as_posix(): path.read_bytes() for path in here.rglob("*") if path.is_file()} == files
    shelf.asked.clear()
    assert not error_of(run(server, asked(name, max_tokens=7))) and not shelf.asked  # now it is here


def test_a_file_that_is_not_the_published_one_is_thrown_away(hub_and_server):
    shelf, server = hub_and_server
    name = "v1-5-pruned-emaonly.safetensors"
    message = error_of(run(server, video_and_sound(LoadAnimateDiff={"base": name, "download_if_missing": True})))
    assert "download of v1-5-pruned-emaonly.safetensors" in message
    assert not list((server.base / "models").rglob("*v1-5-pruned*.safetensors"))


@pytest.mark.parametrize("value", ["../../etc/passwd", "/etc/passwd", "sd15\\..\\..\\x", "a\0b", "nothing here"])
def test_names_never_leave_the_model_folders(server, value):
    for loader, field in (("LoadAudioLDM", "model"), ("LoadAnimateDiff", "base"), ("LoadAnimateDiff", "lora")):
        with pytest.raises(RuntimeError, match=field):
            run(server, video_and_sound(**{loader: {field: value}}))


def test_a_link_out_of_the_model_folders_is_refused(server, tmp_path):
    secret = shutil.copy(server.base / "models" / "imagebind" / IMAGEBIND, tmp_path / "secret.pth")
    link = server.base / "models" / "imagebind" / "linked.pth"
    link.symlink_to(secret)
    message = error_of(run(server, video_and_sound(LoadImageBind={"model": "linked.pth"})))
    link.unlink()
    assert "a link that leads out of the model folders" in message and "extra_model_paths.yaml" in message


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("code.pth", None, "it wants to run code: "),
        ("cut.safetensors", b"\x08\0\0\0\0\0\0\0{}", "cannot be read safely"),
        ("huge.safetensors", b"\0\0\0\0\0\0\0\x40{}", "cannot be read safely"),
    ],
)
def test_hostile_files_are_refused_and_the_server_lives_on(server, tmp_path, name, content, words):
    from tests.test_hostile_files import Payload

    path = server.base / "models" / "imagebind" / name
    if content is None:
        torch.save({"weight": Payload(tmp_path / "executed")}, path)
    else:
        path.write_bytes(content)
    message = error_of(run(server, video_and_sound(LoadImageBind={"model": name})))
    path.unlink()
    assert words in message and name in message and not (tmp_path / "executed").exists()
    assert server.get("/system_stats")


def test_precision_is_chosen_in_the_loaders(server):
    half = {"precision": "bf16"}
    entry = run(server, video_and_sound(LoadAudioLDM=half, LoadAnimateDiff=half, LoadImageBind=half))
    assert not error_of(entry) and len(output_files(entry, server)) == 3


def test_models_are_gone_after_free(server):
    """The weights of a large ImageBind, gone when the user asks for it."""
    sizes = IMAGEBIND_SIZES | {"vision_embed_dim": 1024, "vision_num_blocks": 12}
    path = write_imagebind_of(sizes, server.base / "models" / "imagebind" / "wide.safetensors")
    entry = run(server, video_and_sound(LoadImageBind={"model": "wide.safetensors"}))
    assert not error_of(entry)
    without = reserved(server) - round(0.8 * path.stat().st_size)
    assert reserved_after_freeing(server, without) < without
    path.unlink()
