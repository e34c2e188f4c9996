"""Makes sound for a video: the shared workflow, queued over HTTP in a real ComfyUI. Called by demo.sh."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import av
import torch

from scripts.comfy_server import ROOT, ComfyServer, error_of, output_files

WORKFLOW = ROOT / "workflows" / "api" / "video_to_audio.json"
BAR = 40


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("video", nargs="?", type=Path, help="a video file; by default a made clip of a bouncing thing")
    options.add_argument("--prompt", default=None, help="what should be heard")
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    base = ROOT / ".venv" / "demo"
    base.mkdir(parents=True, exist_ok=True)
    video = arguments.video or default_clip(base)
    if not video.is_file():
        sys.exit(f"{video}: no such file; give the path of a video.")
    print("The pocket models that ship with the pack are small demonstration models: they know a toy world of eight\n"
          "things and make its sounds for any film. For real sounds use the real weights (see README).")
    print("Starting ComfyUI ...", flush=True)
    with ComfyServer(base, output=ROOT / "output", cpu=not torch.cuda.is_available()) as server:
        print(f"ComfyUI is up at {server.url}", flush=True)
        result = asyncio.run(make_sound(server, video, arguments.prompt, arguments.seed))
    check(result)
    print(f"Done: {result}")


def default_clip(folder: Path) -> Path:
    """A clip of the pocket models' own world, without its sound."""
    from seeing_core.pocket.world import make_clip, write_clip

    path = folder / "bouncing.mp4"
    write_clip(make_clip(10_000_003, duration_s=4.0), path, audio=False)
    return path


async def make_sound(server: ComfyServer, video: Path, prompt: str | None, seed: int) -> Path:
    """Runs the workflow on the video; returns the saved film."""
    workflow: dict[str, Any] = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    nodes = {node["class_type"]: node["inputs"] for node in workflow.values()}
    nodes["LoadVideo"]["file"] = await server.upload(video, video.name)
    nodes["SaveVideo"]["filename_prefix"] = video.stem
    nodes["SeeingHearing_VideoToAudio"]["seed"] = seed
    if prompt is not None:
        nodes["SeeingHearing_VideoToAudio"]["prompt"] = prompt
    entry = await server.run(workflow, event=lambda kind, data: show(workflow, kind, data))
    print()
    files = output_files(entry, server)
    if not files:
        sys.exit(error_of(entry) or server.log_end())
    return files[0]


def show(workflow: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    """The terminal's progress line."""
    if kind == "executing" and data.get("node"):
        print(f"\n{workflow[data['node']]['class_type'].removeprefix('SeeingHearing_')}", end="", flush=True)
    if kind == "progress" and data["max"]:
        done = round(BAR * data["value"] / data["max"])
        name = workflow[data["node"]]["class_type"].removeprefix("SeeingHearing_")
        print(f"\r{name} [{'#' * done}{'.' * (BAR - done)}] {data['value']}/{data['max']}", end="", flush=True)


def check(path: Path) -> None:
    """Ends with an error unless the film has a picture and a sound track of equal length, within one frame."""
    with av.open(str(path)) as film:
        lengths = {stream.type: float(stream.duration * stream.time_base) for stream in film.streams}
        frame_s = float(1 / film.streams.video[0].average_rate)
    if set(lengths) != {"video", "audio"} or abs(lengths["video"] - lengths["audio"]) > frame_s:
        sys.exit(f"{path}: tracks {lengths}; expected picture and sound of equal length")
    print(f"Picture {lengths['video']:.2f} s, sound {lengths['audio']:.2f} s")


if __name__ == "__main__":
    main()
