"""Run by a test in a process of its own: the tasks on a pretended device beside the CPU, and mistakes that it has to catch."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from seeing_core.captions.describe import describe
from seeing_core.guidance import drafts, state
from seeing_core.guidance.loop import Progress
from seeing_core.guidance.settings import AUDIO_PRESETS, JOINT_PRESETS, VIDEO_PRESETS, AlignSettings
from seeing_core.media.key_frames import key_frames
from seeing_core.metrics.fit import measure_fit
from seeing_core.metrics.motion import measure_motion
from seeing_core.tasks import RunConfig, TaskResult, audio_to_video, image_to_audio, video_and_audio, video_to_audio
from seeing_core.weights import load_animatediff, load_audioldm, load_binder
from tests.made import bursts, jumping_video
from tests.pe_av_folders import write_pe_av
from tests.pretended_device import DEVICE, pretended
from tests.stand_ins import write_animatediff, write_audioldm, write_imagebind

STEPS = {"v2a": 7, "i2a": 7, "a2v": 12, "joint": 12}  # of "balanced", which guides few of them; here two or more
OTHERS_STEPS = 5
VIDEO, SOUND = jumping_video(8, 8.0, [3, 5]), bursts([0.4], 1.0)
PRESETS = {"v2a": AUDIO_PRESETS, "i2a": AUDIO_PRESETS, "a2v": VIDEO_PRESETS, "joint": JOINT_PRESETS}


@cache
def sound_model(folder: Path) -> Path:
    """Where the stand-in lies, written once; so with the others."""
    return write_audioldm(folder / "audio")


@cache
def video_model(folder: Path) -> tuple[Path, Path]:
    return write_animatediff(folder / "sd", folder / "motion")


@cache
def embedder(folder: Path, binder: str) -> Path:
    return write_pe_av(folder / "pe_av") if binder == "pe_av" else write_imagebind(folder / "imagebind.safetensors")


class Models:
    """Stand-ins in double precision, in which guidance is not chaotic: the binder, and the generators that a task has."""

    def __init__(self, folder: Path, task: str = "", binder: str = "imagebind") -> None:
        self.binder = load_binder(embedder(folder, binder)).double()
        self.audio = load_audioldm(sound_model(folder)).double() if task in ("v2a", "i2a", "joint") else None
        self.video = load_animatediff(*video_model(folder)).double() if task in ("a2v", "joint") else None

    def to(self, device: torch.device) -> Models:
        for model in filter(None, (self.audio, self.video, self.binder)):
            model.to(device)
        return self


def nothing(*seen: Any) -> None:
    pass


def made(
    models: Models,
    task: str,
    settings: AlignSettings,
    steps: int,
    callback: Callable[[Progress], None] = nothing,
    draft_callback: Callable[..., None] = nothing,
) -> TaskResult:
    run = RunConfig([1, 2], steps, settings, callback=callback, draft_callback=draft_callback)
    if task == "v2a":
        return video_to_audio(models.audio, models.binder, VIDEO, run, prompt="a bell")
    if task == "i2a":
        return image_to_audio(models.audio, models.binder, VIDEO.pixels[:1], run, prompt="a bell", duration_s=0.6)
    if task == "a2v":
        return audio_to_video(models.video, models.binder, SOUND, run, prompt="a bell", fps=4.0)
    return video_and_audio(models.video, models.audio, models.binder, run, prompt="a bell", duration_s=0.75, fps=4.0)


def outputs(result: TaskResult) -> list[Tensor]:
    return [one.samples.cpu() for one in result.waveforms] + [one.pixels.cpu() for one in result.videos]


def compare(folder: Path, task: str, preset: str, binder: str = "imagebind") -> dict[str, Any]:
    """The largest difference from the CPU, and the waits within a step: where they are, at most in any step."""
    settings = PRESETS[task][preset]
    settings = replace(settings, drafts=min(3, settings.drafts), moment_weight=1.0)  # of three drafts two go on
    steps = STEPS[task] if preset == "balanced" else OTHERS_STEPS
    expected = outputs(made(Models(folder, task, binder), task, settings, steps))
    found, guided = made_there(Models(folder, task, binder), task, settings, steps)
    return {
        "difference": max(float((a - b).abs().max()) for a, b in zip(expected, found, strict=True)),
        "guided steps": len(guided),
        "waits": later(guided),
    }


def made_there(models: Models, task: str, settings: AlignSettings, steps: int) -> tuple[list[Tensor], list[list[str]]]:
    """What is made on the pretended device, and the waits within each step that was guided, of the run or of a draft."""
    guided: list[list[str]] = []
    inner = drafts.denoise
    with pretended() as waits:
        models.to(DEVICE)
        seen, aligned = 0, False

        def callback(progress: Progress) -> None:
            nonlocal seen, aligned
            if progress.evaluation is not None:
                aligned = aligned or bool(progress.evaluation.gradients)  # without them it tells of a draft again
            else:
                guided.extend([waits[seen:]] if aligned else [])
                seen, aligned = len(waits), False

        def compared(*done: Any) -> None:
            nonlocal seen
            seen = len(waits)

        def watched(*run: Any) -> None:
            def both(progress: Progress, theirs: Callable[[Progress], None] = run[-1]) -> None:
                callback(progress)
                theirs(progress)

            inner(*run[:-1], both)

        drafts.denoise = watched
        try:
            return outputs(made(models, task, settings, steps, callback, compared)), guided
        finally:
            drafts.denoise = inner


def later(guided: list[list[str]]) -> list[str]:
    """Without the first guided step, in which what stays on the device is brought there."""
    return [wait for step in guided[1:] for wait in step]


def mistakes() -> dict[str, Callable[[Tensor], Tensor]]:
    """What is easily written and only a GPU takes amiss, by name: each gives back what it was given, once it has run."""
    module, rows = torch.nn.Linear(1, 1).double(), torch.tensor([True, False])

    def after(work: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
        def mistaken(gradient: Tensor) -> Tensor:
            work(gradient)
            return gradient

        return mistaken

    return {
        name: after(work)
        for name, work in {
            "a list as an index": lambda g: g[:, [0, 1]],
            "a mask": lambda g: g[g > 0],
            "a mask on the CPU": lambda g: g[rows[: len(g)]],
            "a constant on the CPU": lambda g: g.mean() * torch.ones(2).double(),
            "a constant made at every step": lambda g: g.mean() * torch.tensor([1.0, 2.0], device=g.device),
            "a generator on the CPU": lambda g: torch.randn(2, device=g.device, generator=torch.Generator().manual_seed(0)),
            "a module that was not moved": lambda g: module(g.reshape(-1, 1)),
            ".item()": lambda g: g.mean().item(),
            "float()": lambda g: float(g.mean()),
            ".tolist()": lambda g: g.mean((1, 2, 3)).tolist(),
            ".cpu()": lambda g: g.cpu(),
            "if tensor": lambda g: 1 if g.mean() > 0 else 0,
        }.items()
    }


def caught(models: Models, mistake: Callable[[Tensor], Tensor]) -> str:
    """What comes of a run in which every guided step makes this mistake; empty: nothing."""
    inner = state.unit_rms
    state.unit_rms = lambda gradient: mistake(inner(gradient))
    try:
        waits = later(made_there(models, "i2a", AUDIO_PRESETS["x0"], OTHERS_STEPS)[1])
    except (RuntimeError, NotImplementedError, TypeError) as error:
        return f"refused: {str(error).splitlines()[0]}"
    finally:
        state.unit_rms = inner
    return waits[0] if waits else ""


def measured(folder: Path) -> list[str]:
    """Where Describe, Key Frames and Score Audio-Visual Fit lie."""
    with pretended():
        models = Models(folder).to(DEVICE)
        phrases = describe(models.binder, VIDEO, ["a bell", "rain"], 1)
        fit = measure_fit(VIDEO, SOUND, measure_motion(VIDEO), binder=models.binder, prompt="a bell")
        frames = key_frames(VIDEO, 2)
    return [str(phrases), str(fit.binder), str(frames)]


def main() -> None:
    with TemporaryDirectory() as folder:
        report: dict[str, Any]
        if sys.argv[1:] == ["mistakes"]:
            models = Models(Path(folder), "i2a")
            report = {name: caught(models, mistake) for name, mistake in mistakes().items()}
        elif sys.argv[1:] == ["measured"]:
            report = {"measured": measured(Path(folder))}
        else:
            report = {name: compare(Path(folder), *name.split(":")) for name in sys.argv[1:]}
    print("REPORT " + json.dumps(report))


if __name__ == "__main__":
    main()
