"""One process of a batch run: models loaded once, then one group of jobs after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..candidates import rank_candidates
from ..errors import InputError
from ..guidance.loop import Progress
from ..guidance.settings import AUDIO_PRESETS, JOINT_PRESETS, VIDEO_PRESETS, AlignSettings
from ..guidance.trace import TracePoint
from ..media.audio_file import read_sound
from ..media.image_file import read_image
from ..media.types import Video, Waveform
from ..media.video_file import VideoFile
from ..parallel import Failure
from ..run import RunConfig, TaskResult
from ..tasks import audio_to_video, image_to_audio, video_and_audio, video_to_audio
from ..weights import load_animatediff, load_audioldm, load_binder
from .jobs import Job
from .results import Recipe, Results, identity

PRESETS = {"v2a": AUDIO_PRESETS, "i2a": AUDIO_PRESETS, "a2v": VIDEO_PRESETS, "joint": JOINT_PRESETS}
STEPS = {"v2a": 30, "i2a": 30, "a2v": 25, "joint": 25}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Outcome = list[tuple[Job, "Failure | None"]]


@dataclass(frozen=True)
class Options:
    """What the command line says for all jobs.  animatediff: Stable Diffusion and the motion module.  None: the model's usual."""

    task: str
    out: str
    binder: str
    audioldm: str | None = None
    animatediff: tuple[str, str] | None = None
    preset: str = "balanced"
    strength: float = 1.0
    steps: int | None = None
    seed: int = 0
    candidates: int = 1
    negative_prompt: str = ""
    duration_s: float | None = None
    fps: float = 8.0
    width: int = 0
    height: int = 0
    guidance_scale: float | None = None
    device: str = "cpu"
    devices: int = 1
    precision: str = "fp32"

    def settings(self, job: Job) -> AlignSettings:
        """Raises InputError for a preset that the task does not have."""
        presets = PRESETS[self.task]
        name = job.preset or self.preset
        if name not in presets:
            raise InputError(
                f"preset of '{job.name}'" if job.preset else "--preset", f"'{name}'", "one of " + ", ".join(presets)
            )
        return presets[name].scaled(self.strength if job.strength is None else job.strength)

    def recipe(self, job: Job) -> Recipe:
        own: dict[str, object] = {
            "negative_prompt": self.negative_prompt if job.negative_prompt is None else job.negative_prompt,
            "duration_s": self.duration_s if job.duration_s is None else job.duration_s,
            "guidance_scale": self.guidance_scale,
            "precision": self.precision,
        }
        if self.task in ("a2v", "joint"):
            own |= {"fps": self.fps, "width": self.width, "height": self.height}
        seed = self.seed if job.seed is None else job.seed
        steps = self.steps or STEPS[self.task]
        return Recipe(self.task, seed, steps, self.candidates, self.settings(job), self._models(), own)

    def _models(self) -> dict[str, object]:
        given = {"audioldm": self.audioldm, "binder": self.binder}
        given |= dict(zip(("base", "motion"), self.animatediff or (), strict=False))
        return {name: _model_state(Path(path)) for name, path in given.items() if path}


def _model_state(path: Path) -> list[object]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return [path.name, sum(file.stat().st_size for file in files)]


class Maker:
    """Makes groups of jobs and writes what comes out. Jobs whose input cannot be used are told of, and stop nothing."""

    def __init__(self, options: Options, number: int) -> None:
        from diffusers.utils.logging import disable_progress_bar as quiet_diffusers
        from transformers.utils.logging import disable_progress_bar as quiet_transformers

        quiet_diffusers()  # the command has a bar of its own
        quiet_transformers()
        self.options, self.results = options, Results(Path(options.out))
        device = f"cuda:{number % options.devices}" if options.device == "cuda" else options.device
        place = partial(_placed, device=device)
        dtype = DTYPES[options.precision]
        self.binder = place(load_binder(options.binder, dtype=dtype))
        self.audio: Any = place(load_audioldm(options.audioldm, dtype=dtype)) if options.audioldm else None
        self.video: Any = place(load_animatediff(*options.animatediff, dtype=dtype)) if options.animatediff else None

    def __call__(self, jobs: Sequence[Job]) -> Outcome:
        recipes = [self.options.recipe(job) for job in jobs]
        of = [identity(job, recipe) for job, recipe in zip(jobs, recipes, strict=True)]
        if all(self.results.state(job, own) == "made" for job, own in zip(jobs, of, strict=True)):
            return [(job, None) for job in jobs]  # by a worker that was lost before it could say so
        if len(jobs) > 1:
            try:
                self._make(jobs, recipes[0], of)
                return [(job, None) for job in jobs]
            except (InputError, torch.OutOfMemoryError):  # of one of them; the others shall not suffer
                pass
        return [(job, self._alone(job, recipe, own)) for job, recipe, own in zip(jobs, recipes, of, strict=True)]

    def _alone(self, job: Job, recipe: Recipe, of: Mapping[str, Any]) -> Failure | None:
        try:
            self._make([job], recipe, [of])
        except InputError as error:
            return Failure(str(error).replace(job.path, job.name) if job.path else str(error))
        except torch.OutOfMemoryError as error:
            return Failure(f"out of memory ({str(error).splitlines()[0]})")
        return None

    def _make(self, jobs: Sequence[Job], recipe: Recipe, of: Sequence[Mapping[str, Any]]) -> None:
        """A group: one sample for each job, or all candidates of a single one."""
        inputs = [read_input(recipe.task, job) for job in jobs]
        seeds = [recipe.seed] * len(jobs) if len(jobs) > 1 else range(recipe.seed, recipe.seed + recipe.candidates)
        traces: list[list[TracePoint]] = [[] for _ in seeds]
        run = RunConfig(
            seeds, recipe.steps, recipe.settings, event_times=jobs[0].event_times, callback=partial(_follow, traces)
        )
        made = self._with_retry(lambda run: self._run(jobs, inputs, recipe, run), run, traces)
        if len(jobs) == 1:
            given = inputs[0]
            made = rank_candidates(
                made,
                video=given if recipe.task == "v2a" else None,
                audio=given if recipe.task == "a2v" else None,
            )
            self.results.save(
                jobs[0], of[0], pairs(recipe.task, made, inputs * len(seeds)), made.trace.points, made.trace.notes
            )
            return
        for job, own, pair, trace, prompt in zip(jobs, of, pairs(recipe.task, made, inputs), traces, made.prompts, strict=True):
            notes = [f"prompt: read as '{prompt}'"] if prompt != job.prompt else []
            self.results.save(job, own, [pair], trace, notes)

    def _with_retry(
        self, work: Callable[[RunConfig], TaskResult], run: RunConfig, traces: Sequence[list[TracePoint]]
    ) -> TaskResult:
        """Once more with less memory where it ran out."""
        try:
            return work(run)
        except torch.OutOfMemoryError:
            if run.low_memory:
                raise
        torch.cuda.empty_cache()
        for trace in traces:
            trace.clear()
        return work(replace(run, low_memory=True))

    def _run(self, jobs: Sequence[Job], inputs: Sequence[Any], recipe: Recipe, run: RunConfig) -> TaskResult:
        prompts = [job.prompt for job in jobs]
        options: dict[str, Any] = dict(recipe.options)
        common: dict[str, Any] = {"prompt": prompts, "negative_prompt": options["negative_prompt"]}
        if options["duration_s"] is not None:
            common["duration_s"] = options["duration_s"]
        if recipe.task in ("a2v", "joint"):
            common |= {name: options[name] for name in ("fps", "width", "height")}
        scale = options["guidance_scale"]
        if recipe.task == "v2a":
            return video_to_audio(self.audio, self.binder, list(inputs), run, guidance_scale=scale, **common)
        if recipe.task == "i2a":
            return image_to_audio(self.audio, self.binder, list(inputs), run, guidance_scale=scale, **common)
        if recipe.task == "a2v":
            return audio_to_video(self.video, self.binder, list(inputs), run, guidance_scale=scale, **common)
        return video_and_audio(self.video, self.audio, self.binder, run, **common)


def read_input(task: str, job: Job) -> Any:
    """What a task takes. Raises InputError when the file is not of that kind, or broken."""
    if task == "joint":
        return None
    if task == "i2a":
        return read_image(job.path)[None]
    if task == "v2a":
        video = VideoFile(job.path)
        video.check_whole()
        return video
    sound = read_sound(job.path)
    if sound is None:
        raise InputError(f"file '{job.name}'", "a file without a sound track", "a sound, or a video with sound")
    return sound


def batch_key(task: str, job: Job, options: Options) -> object:
    """What must be alike in a batch: the recipe, and the length of what is given. A file that cannot be read stands alone."""
    recipe = options.recipe(job)
    own = (repr(recipe), job.event_times)
    if task not in ("v2a", "a2v"):
        return own
    try:
        return (*own, round(read_input(task, job).duration_s, 3))
    except InputError:
        return job.name


def pairs(task: str, made: TaskResult, inputs: Sequence[Any]) -> list[tuple[Video | None, Waveform]]:
    """What is written of each sample: a video with its sound, or a sound alone."""
    if task == "joint":
        return list(zip(made.videos, made.waveforms, strict=True))
    if task == "a2v":
        return list(zip(made.videos, inputs[: len(made.videos)], strict=True))
    videos = inputs[: len(made.waveforms)] if task == "v2a" else [None] * len(made.waveforms)
    return list(zip(videos, made.waveforms, strict=True))


def _follow(traces: Sequence[list[TracePoint]], progress: Progress) -> None:
    """Each sample's own part of the trace."""
    if progress.evaluation is None:
        return
    named = {"loss": progress.evaluation.loss, **progress.evaluation.terms}
    values = {name: value.expand(len(traces)).tolist() for name, value in named.items()}
    for number, trace in enumerate(traces):
        terms = {name: one[number] for name, one in values.items()}
        trace.append(TracePoint(progress.step, progress.inner or 0, terms.pop("loss"), terms))


def _placed(model: Any, device: str) -> Any:
    return model.to(device) if isinstance(model, nn.Module) else model
