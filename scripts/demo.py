"""Runs a shared workflow of the pocket models in a real ComfyUI, queued over HTTP. Called by demo.sh."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import torch
from PIL import Image

from scripts.comfy_server import ROOT, ComfyServer, error_of, output_files
from seeing_core.batch.__main__ import main as batch_command
from seeing_core.pocket import MODELS_DIR
from tests.pocket.world import make_clip, write_clip

BAR = 40
CLIP_SEED = 10_000_003


@dataclass(frozen=True)
class Task:
    """A pocket workflow.  load: class and field of the node that takes the user's file; sample: makes a file for it."""

    workflow: str
    load: tuple[str, str] | None = None
    sample: Callable[[Path], Path] | None = None


def sample_video(folder: Path) -> Path:
    """Four seconds of the pocket models' own world, without their sound."""
    path = folder / "silent_clip.mp4"
    write_clip(make_clip(CLIP_SEED, duration_s=4.0), path, audio=False)
    return path


def sample_folder(folder: Path) -> Path:
    """Four silent clips of two seconds."""
    clips = folder / "clips"
    clips.mkdir(exist_ok=True)
    for seed in range(CLIP_SEED, CLIP_SEED + 4):
        write_clip(make_clip(seed), clips / f"clip_{seed - CLIP_SEED + 1}.mp4", audio=False)
    return clips


def sample_picture(folder: Path) -> Path:
    frame = make_clip(CLIP_SEED).frames[0]  # (3, 64, 64)
    path = folder / "picture.png"
    Image.fromarray((frame * 255).byte().permute(1, 2, 0).numpy()).resize((256, 256), Image.NEAREST).save(path)
    return path


def sample_sound(folder: Path) -> Path:
    path = folder / "sound.wav"
    samples = (make_clip(CLIP_SEED).samples.clamp(-1, 1) * 32767).short()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.numpy().tobytes())
    return path


TASKS = {
    "v2a": Task("pocket_video_to_audio", ("LoadVideo", "file"), sample_video),
    "i2a": Task("pocket_image_to_audio", ("LoadImage", "image"), sample_picture),
    "a2v": Task("pocket_audio_to_video", ("LoadAudio", "audio"), sample_sound),
    "joint": Task("pocket_video_and_audio_together"),
}
SHOWN = TASKS | {"align": Task("pocket_align_model", ("LoadVideo", "file"), sample_video)}


def main() -> None:
    arguments = parse(sys.argv[1:])
    base = ROOT / ".venv" / "demo"
    base.mkdir(parents=True, exist_ok=True)
    if arguments.task == "batch":
        sys.exit(batch(arguments.file or sample_folder(base), ROOT / "output" / "batch", arguments.seed))
    print(
        "The pocket models that ship with the pack are small demonstration models: they know a toy world of eight\n"
        "things, whatever the video shows. For real pictures and sounds use the real weights (see README)."
    )
    print("Starting ComfyUI ...", flush=True)
    with ComfyServer(base, output=ROOT / "output", cpu=not torch.cuda.is_available()) as server:
        for name in SHOWN if arguments.task == "all" else [arguments.task]:
            started = time.monotonic()
            path = asyncio.run(run(server, SHOWN[name], arguments.file, arguments.seed))
            check(path, video=name != "i2a")
            print(f"{name} in {time.monotonic() - started:.0f} s: {path}", flush=True)


def batch(inputs: Path, out: Path, seed: int) -> int:
    """Sound for every video of a folder, by the pocket models; the command's exit code."""
    models = ["--audioldm", MODELS_DIR / "audioldm", "--binder", MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors"]
    words = ["v2a", "--inputs", inputs, "--out", out, "--seed", seed, "--batch", 4, *models]
    print("python -m seeing_core.batch", *words, flush=True)
    return batch_command([str(word) for word in words])


def parse(words: list[str]) -> argparse.Namespace:
    """[TASK] [FILE]: either may be left out."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("task", nargs="?", default="v2a", help=f"{', '.join(SHOWN)}, all or batch; by default v2a")
    options.add_argument("file", nargs="?", type=Path, help="your video, picture, sound or folder; by default a made one")
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args(words)
    if arguments.task not in (*SHOWN, "all", "batch") and arguments.file is None:
        arguments.task, arguments.file = "v2a", Path(arguments.task)
    if arguments.task not in (*SHOWN, "all", "batch"):
        options.error(f"no task '{arguments.task}': expected one of {', '.join(SHOWN)}, all, batch")
    if arguments.file is not None and not (arguments.file.is_dir() if arguments.task == "batch" else arguments.file.is_file()):
        options.error(f"no such {'folder' if arguments.task == 'batch' else 'file'}: {arguments.file}")
    if arguments.file is not None and arguments.task in ("joint", "all"):
        options.error(f"the task '{arguments.task}' takes no file")
    return arguments


async def run(server: ComfyServer, task: Task, file: Path | None, seed: int) -> Path:
    """Runs the task's workflow; returns the file it saved."""
    path = ROOT / "workflows" / "api" / f"{task.workflow}.json"
    workflow: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for node in workflow.values():
        if "seed" in node["inputs"]:
            node["inputs"]["seed"] = seed
        if task.load and node["class_type"] == task.load[0]:
            file = file or task.sample(server.base)
            node["inputs"][task.load[1]] = await server.upload(file, file.name)
        if file and "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] = f"{task.workflow.removeprefix('pocket_')}_{file.stem}"
    entry = await server.run(workflow, event=lambda kind, data: show(workflow, kind, data))
    print()
    files = output_files(entry, server)
    if not files:
        sys.exit(error_of(entry) or server.log_end())
    return files[0]


def show(workflow: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    """The terminal's progress line."""
    if kind not in ("executing", "progress") or not data.get("node"):
        return
    name = workflow[data["node"]]["class_type"].removeprefix("SeeingHearing_")
    if kind == "executing":
        print(f"\n{name}", end="", flush=True)
    elif data["max"]:
        done = round(BAR * data["value"] / data["max"])
        print(f"\r{name} [{'#' * done}{'.' * (BAR - done)}] {data['value']}/{data['max']}", end="", flush=True)


def check(path: Path, *, video: bool) -> None:
    """Ends with an error unless the file has a sound track and, if a video, a picture track as long within one frame."""
    with av.open(str(path)) as container:
        lengths = {stream.type: float(stream.duration * stream.time_base) for stream in container.streams}
        frame_s = float(1 / container.streams.video[0].average_rate) if video else 0.0
    if set(lengths) != ({"video", "audio"} if video else {"audio"}):
        sys.exit(f"{path}: it has {', '.join(lengths)}; expected {'picture and sound' if video else 'sound'}")
    if video and abs(lengths["video"] - lengths["audio"]) > frame_s:
        sys.exit(f"{path}: picture and sound of unequal length ({lengths})")
    print(", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in lengths.items()))


if __name__ == "__main__":
    main()
