"""What a run of any task is given and gives: its configuration, the guided sampling with its trace, the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from .errors import InputError, check_number
from .generators.base import AudioGenerator, Generator, VideoGenerator
from .guidance.drafts import DraftCallback, begins_before, best_beginning, draft_count, draft_notes
from .guidance.loop import Progress, sample
from .guidance.losses import WeightedLoss
from .guidance.settings import AlignSettings
from .guidance.targets import AlignTarget
from .guidance.trace import Comparison, Recorder, Trace
from .media.types import Video, VideoFrames, Waveform
from .metrics.motion import Motion

Item = TypeVar("Item")


@dataclass(frozen=True)
class TaskResult:
    """waveforms, videos: one per seed, empty where the task makes none.  trace: what the loss did.

    motion: of each video that was given, where it was measured.  prompts: as they were read, completed where they were; one for
    all, or one per seed.
    """

    trace: Trace
    waveforms: tuple[Waveform, ...] = ()
    videos: tuple[VideoFrames, ...] = ()
    motion: tuple[Motion, ...] = ()
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunConfig:
    """What all tasks share.

    seeds: one output each.  steps: denoise steps.  settings: of the aligner.  targets: further ones that the output should
    fit.  event_times: when something should sound (or move), in seconds, "0.5, 1.2"; empty: when the input moves (or sounds),
    where the settings give the sync term a weight.  callback: called after every step; motion_callback: after every frame
    whose motion was measured, with the frames done and their number; draft_callback: after drafts, with their
    evaluations done and in all, and what was compared last, at the end what goes on. An exception that one raises cancels the run.
    low_memory: slower, in less memory; the result is the same.
    """

    seeds: Sequence[int] = (0,)
    steps: int = 30
    settings: AlignSettings = AlignSettings()
    targets: Sequence[AlignTarget] = ()
    event_times: str = ""
    callback: Callable[[Progress], None] = lambda progress: None
    motion_callback: Callable[[int, int], None] = lambda done, total: None
    draft_callback: DraftCallback = lambda done, total, previews: None
    low_memory: bool = False

    def __post_init__(self) -> None:
        check_number("steps", self.steps, 1, 1000)


class Reader(Protocol):
    """Whatever reads a prompt."""

    name: str

    def unread(self, prompt: str) -> str: ...


def as_batch(
    run: RunConfig, name: str, inputs: Item | Sequence[Item], prompts: str | Sequence[str]
) -> tuple[list[Item], list[str]]:
    """The inputs and their prompts, one of each for all seeds, or one for each seed.

    Raises InputError when their numbers do not go together.
    """
    items: list[Any] = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    count = len(run.seeds)
    for what, several in ((name, items), ("prompt", texts)):
        if len(several) not in (1, count):
            raise InputError(what, f"a batch of {len(several)}", f"one, or one for each of the {count} seeds")
    if len(items) != len(texts):
        items, texts = (items * (count // len(items)), texts * (count // len(texts)))
    return items, texts


def common_duration(name: str, inputs: Sequence[Video | Waveform]) -> float:
    """The length of all inputs, in seconds. Raises InputError when they differ by more than a millisecond."""
    lengths_s = [one.duration_s for one in inputs]
    if max(lengths_s) - min(lengths_s) > 1e-3:
        raise InputError(name, f"a batch of lengths from {min(lengths_s):g} s to {max(lengths_s):g} s", "one length")
    return lengths_s[0]


def unread_notes(readers: Sequence[Reader], prompts: Sequence[str]) -> list[str]:
    """What to tell the user of prompts that are longer than a model reads."""
    return [
        f"prompt: {reader.name} did not read the end of it: '{lost}'"
        for reader in readers
        for prompt in dict.fromkeys(prompts)
        if (lost := reader.unread(prompt))
    ]


def run_guided(
    generators: Sequence[Generator], binder: Reader, loss: WeightedLoss, run: RunConfig, notes: Sequence[str]
) -> tuple[list[Tensor], Trace]:
    """The clean latents of each generator, and the trace. A loss without terms is plain sampling."""
    settings = run.settings if loss else run.settings.scaled(0.0)
    record = Recorder()

    def callback(progress: Progress) -> None:
        if progress.evaluation is not None:
            record.add(progress.step, progress.inner or 0, progress.evaluation)
        run.callback(progress)

    first_step, latents, comparisons = 0, None, list[Comparison]()
    if begins_before(settings, loss):
        begun = best_beginning(generators, loss, settings, seeds=run.seeds, steps=run.steps, callback=run.draft_callback)
        first_step, latents, comparisons = begun.step, begun.latents, begun.comparisons
        if begun.previews:  # of the best one, which is not the one compared last
            run.draft_callback(1, 1, begun.previews)
        for progress in begun.seen:
            callback(progress)
        notes = [*notes, *draft_notes(run.seeds, begun.seeds)]
    if settings.enabled and settings.drafts > draft_count(settings, loss):
        notes = [*notes, f"drafts: none of the {settings.drafts} were made, because nothing that compares them has a weight"]
    made = sample(
        generators, loss, settings, seeds=run.seeds, steps=run.steps, first_step=first_step, latents=latents, callback=callback
    )
    notes = tuple(dict.fromkeys(notes))
    return made, Trace(settings, run.steps, record.points(), notes, binder.name, tuple(comparisons))


def finished_waveforms(generator: AudioGenerator, z: Tensor) -> tuple[Waveform, ...]:
    """One per sample. Raises InputError on NaN."""
    samples = _finite(generator.decode_all(z)).clamp(-1, 1).cpu()
    return tuple(Waveform(one, generator.rate_hz) for one in samples)


def finished_videos(generator: VideoGenerator, z: Tensor) -> tuple[VideoFrames, ...]:
    """One per sample. Raises InputError on NaN."""
    return tuple(VideoFrames(_finite(frames), generator.fps) for frames in generator.decode_all(z))


def _finite(output: Tensor) -> Tensor:
    if not torch.isfinite(output).all():
        raise InputError(
            "alignment",
            "an output with NaN or infinite values",
            "finite values",
            "Lower the strength or the guidance scale; if that does not help, the model's weights are damaged.",
        )
    return output
