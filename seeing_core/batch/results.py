"""Results on disk: each with what it was made from, beside it and inside it, and never half there under its own name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import soundfile

from ..files import state_of, write_whole
from ..guidance.settings import AlignSettings
from ..guidance.trace import TracePoint
from ..media.mux import mux
from ..media.types import Video, Waveform
from .jobs import Job

State = Literal["made", "changed", "new"]
VERSION = 1  # raised when the same input and settings give something else


@dataclass(frozen=True)
class Recipe:
    """All that decides a result besides its input file and its prompt.  models: name and size of each weight file."""

    task: str
    seed: int
    steps: int
    candidates: int
    settings: AlignSettings
    models: Mapping[str, object]
    options: Mapping[str, object]


def identity(job: Job, recipe: Recipe) -> dict[str, Any]:
    """What a result belongs to, as JSON gives it back."""
    file = state_of(job.path) if job.path and os.path.isfile(job.path) else []
    own = {"prompt": job.prompt, "event_times": job.event_times}
    return json.loads(json.dumps({"version": VERSION, "file": file[1:], **own, **asdict(recipe)}))


@dataclass(frozen=True)
class Results:
    """The folder of results."""

    folder: Path

    def path(self, job: Job, candidate: int = 0) -> Path:
        """Of a result; of further candidates, best first, with their number before the suffix."""
        path = self.folder / job.output
        return path if candidate == 0 else path.with_name(f"{path.stem}.{candidate + 1}{path.suffix}")

    def report(self, job: Job) -> Path:
        path = self.path(job)
        return path.with_name(path.name + ".json")

    def state(self, job: Job, of: Mapping[str, Any]) -> State:
        """Whether a result is there whole, and whether it is this one."""
        try:
            made = json.loads(self.report(job).read_text(encoding="utf-8"))["of"]
        except (OSError, ValueError, KeyError, TypeError):
            return "new"
        whole = all(self.path(job, number).is_file() for number in range(int(of["candidates"])))
        return ("made" if made == of else "changed") if whole else "new"

    def save(
        self,
        job: Job,
        of: Mapping[str, Any],
        made: Sequence[tuple[Video | None, Waveform]],
        trace: Sequence[TracePoint],
        notes: Sequence[str],
    ) -> None:
        """The result of each candidate, then the report, which says that all are there."""
        report = {
            "input": job.name,
            "prompt": job.prompt,
            "notes": list(notes),
            "of": of,
            "trace": [asdict(point) for point in trace],
        }
        text = json.dumps(report, ensure_ascii=False)
        self.report(job).unlink(missing_ok=True)  # of what is about to be replaced
        for number, (video, waveform) in enumerate(made):
            path = self.path(job, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            if video is None:
                write_sound(path, waveform, text)
            else:
                mux(video, waveform, path, comment=text)
        write_whole(self.report(job), json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def write_sound(path: Path, waveform: Waveform, comment: str) -> None:
    """A WAV file of 16 bits with a comment; it appears whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    samples = waveform.samples.T.clamp(-1, 1).numpy()
    with soundfile.SoundFile(partial, "w", waveform.rate_hz, samples.shape[1], "PCM_16", format="WAV") as file:
        file.comment = comment
        file.write(samples)
    os.replace(partial, path)
