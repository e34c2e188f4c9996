"""Proof at full size: one guided step of each task on the real architectures, through the real nodes in a real ComfyUI.

    python -m tests.benchmarks.full_size                        all tasks, in a folder that is deleted afterwards (11 GB)
    python -m tests.benchmarks.full_size --folder DIR --task v2a --side 256

AudioLDM-m, Stable Diffusion 1.5 with the v1.5-2 motion adapter, and imagebind_huge are written once, with random weights, in
the layouts that users have. Then each shared workflow runs with one denoise step in the preset `balanced`: first with all
loading, then with another seed. Of each run: seconds from asking to the saved file, and the most memory that the server had.
Needs 24 GB of memory. Random weights prove that it fits and works, not how it sounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import psutil
import torch

from scripts.comfy_server import ROOT, ComfyServer, error_of, output_files
from scripts.demo import TASKS
from tests.benchmarks import sizes
from tests.server.conftest import AUDIOLDM, BASE, IMAGEBIND, MOTION, resident, video_path
from tests.stand_ins import save_audioldm, save_stable_diffusion, write_imagebind_of

GB = 1e9
VIDEO = "bigbuckbunny.mp4"
GIVEN = {"LoadVideo": "file", "LoadAudio": "audio"}  # ComfyUI's nodes that read the video, and their input


def write_models(models: Path) -> None:
    """The files that the shared workflows name, at real size; those that are there already are kept."""
    torch.manual_seed(0)
    parts: dict[Path, Callable[[Path], Any]] = {
        models / "audioldm" / AUDIOLDM: write_audioldm_m,
        models / "imagebind" / IMAGEBIND: lambda path: write_imagebind_of(sizes.IMAGEBIND_HUGE, path),
        models / "diffusers" / BASE: lambda folder: save_stable_diffusion(folder, *sizes.stable_diffusion()),
        models / "animatediff_models" / MOTION: lambda folder: sizes.motion_adapter().save_pretrained(folder),
    }
    for place, write in parts.items():
        if not place.exists():
            unfinished = place.with_name("unfinished_" + place.name)
            write(unfinished)
            unfinished.rename(place)
            print(f"wrote {place.name}: {bytes_of(place) / GB:.1f} GB", flush=True)


def write_audioldm_m(folder: Path) -> None:
    model = sizes.audioldm_m()
    save_audioldm(folder, model.unet, model.vae, model.vocoder, model.text_encoder, model.scheduler)


def bytes_of(place: Path) -> int:
    files = [place] if place.is_file() else place.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def write_media(folder: Path) -> None:
    """What the workflows take: a video of 5.3 s with its sound, and one picture of it."""
    shutil.copy(video_path(VIDEO), folder / VIDEO)
    with av.open(str(video_path(VIDEO))) as video:
        next(video.decode(video=0)).to_image().save(folder / "picture.png")


def task_inputs(api: dict[str, Any]) -> dict[str, Any]:
    """The inputs of the workflow's task node, the only one that has steps."""
    [inputs] = [node["inputs"] for node in api.values() if "steps" in node["inputs"]]
    return inputs


def workflow(task: str, side: int, seed: int) -> dict[str, Any]:
    """The shared workflow with one denoise step; videos of 16 frames."""
    name = TASKS[task].workflow.removeprefix("pocket_")
    api = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    inputs = task_inputs(api)
    inputs |= {"steps": 1, "seed": seed}
    for one in api.values():
        if one["class_type"] in GIVEN:
            one["inputs"][GIVEN[one["class_type"]]] = VIDEO
    if task in ("a2v", "joint"):
        inputs |= {"duration": 2.0, "width": side, "height": side}
    return api


@contextmanager
def watching(server: ComfyServer) -> Iterator[list[int]]:
    """The bytes that the server has in memory, looked at twenty times a second."""
    seen, ended = [resident(server)], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            seen.append(resident(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def timed(server: ComfyServer, api: dict[str, Any]) -> tuple[float, float]:
    """Seconds, and the most GB in memory. Raises RuntimeError when the workflow fails or saves nothing."""
    started = time.monotonic()
    with watching(server) as seen:
        entry = asyncio.run(server.run(api))
    seconds = time.monotonic() - started
    saved = output_files(entry, server)
    if error_of(entry) or not saved or not all(file.stat().st_size for file in saved):
        raise RuntimeError(error_of(entry) or "nothing was saved:\n" + server.log_end())
    return seconds, max(seen) / GB


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, help="where ComfyUI's folders are made, and kept")
    options.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    options.add_argument("--side", type=int, default=256, help="of the videos, in pixels")
    chosen = options.parse_args()
    print(
        f"{platform.machine()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / GB:.0f} GB, {chosen.side} pixels"
    )
    with TemporaryDirectory() as name:
        base = chosen.folder or Path(name)
        write_models(base / "models")
        for task in chosen.task:
            with ComfyServer(base) as server:
                write_media(base / "input")
                first, again = (timed(server, workflow(task, chosen.side, seed)) for seed in (1, 2))
            print(
                f"{task}: first run {first[0]:.0f} s, {first[1]:.1f} GB; again {again[0]:.0f} s, {again[1]:.1f} GB", flush=True
            )


if __name__ == "__main__":
    main()
