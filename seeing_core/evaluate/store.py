"""Results file by file, each written whole as soon as it is known, so that an interrupted run can go on."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ..files import remove_partial, state_of, write_whole
from .measure import Job, Options, Record

VERSION = 1  # raised when a measure changes, so that old results are not mixed with new ones


@dataclass(frozen=True)
class Store:
    """The folder beside the report that keeps a record, and where there is one a plot, for each measured file."""

    folder: Path

    def plot(self, job: Job) -> Path:
        return self.folder / job.group / f"{job.name}.png"

    def load(self, job: Job, options: Options) -> Record | None:
        """The record of a file measured before with these options, if neither it nor its partner has changed since."""
        path = self._path(job)
        if not path.is_file():
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Record(**kept["record"]) if kept["of"] == identity(job, options) else None

    def save(self, job: Job, options: Options, record: Record, plot: Tensor | None = None) -> None:
        self._path(job).parent.mkdir(parents=True, exist_ok=True)
        if plot is not None:
            image = Image.fromarray((plot * 255).round().byte().numpy())
            partial = self.plot(job).with_suffix(f".{os.getpid()}.part")
            image.save(partial, format="PNG", optimize=True)
            os.replace(partial, self.plot(job))
        else:
            self.plot(job).unlink(missing_ok=True)
        text = json.dumps({"of": identity(job, options), "record": record.as_dict()}, allow_nan=False)
        write_whole(self._path(job), text)

    def clean(self) -> None:
        """Removes what an interrupted run left half-written."""
        remove_partial(self.folder)

    def _path(self, job: Job) -> Path:
        return self.folder / job.group / f"{job.name}.json"


def identity(job: Job, options: Options) -> dict[str, Any]:
    """What a result belongs to: the files' sizes and times, the prompt and the options."""
    files = [state_of(path) for path in (job.path, job.partner) if path]
    return {"version": VERSION, "files": files, "prompt": job.prompt, "options": asdict(options)}
