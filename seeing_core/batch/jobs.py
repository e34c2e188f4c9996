"""What to make: one job for each file of a folder, or for each row of a CSV file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import InputError

TASKS = ("v2a", "i2a", "a2v", "joint")
SIDECARS = (".txt", ".csv", ".json")  # prompts and reports beside the media
SUFFIX = {"v2a": ".mp4", "i2a": ".wav", "a2v": ".mp4", "joint": ".mp4"}


@dataclass(frozen=True)
class Job:
    """One input and what is said of it.

    name: of the input below its folder, with "/"; of a joint job any name.  path: the file; empty for a joint job.
    output: the result's path below the folder of results.  All else is None where the command line decides.
    """

    name: str
    path: str
    output: str
    prompt: str = ""
    negative_prompt: str | None = None
    seed: int | None = None
    duration_s: float | None = None
    preset: str | None = None
    strength: float | None = None
    event_times: str = ""


COLUMNS = {field.name: field.type for field in fields(Job) if field.name not in ("name", "path", "output")}


def jobs_of(task: str, inputs: Path) -> list[Job]:
    """The jobs of a folder (a `.txt` beside a file is its prompt; in `joint` each is a job) or of a CSV file, by name.

    Raises InputError when there are none, or when the CSV file is not as expected.
    """
    if inputs.is_dir():
        jobs = _of_folder(task, inputs)
    elif inputs.is_file():
        jobs = _of_csv(task, inputs)
    else:
        raise InputError("--inputs", f"'{inputs}'", "a folder, or a CSV file")
    if not jobs:
        raise InputError("--inputs", f"'{inputs}', which is empty", "prompts" if task == "joint" else "media files")
    return sorted(_with_outputs(task, jobs), key=lambda job: job.name)


def _of_folder(task: str, folder: Path) -> list[Job]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in found}
    shown = [path for path in found if not any(part.startswith(".") for part in PurePosixPath(names[path]).parts)]
    if task == "joint":
        return [Job(names[path], "", "", read_prompt(path)) for path in shown if path.suffix.lower() == ".txt"]
    return [
        Job(names[path], str(path.absolute()), "", read_prompt(path.with_suffix(".txt")))
        for path in shown
        if path.suffix.lower() not in SIDECARS
    ]


def read_prompt(path: Path) -> str:
    """A text file's text in one line; empty where there is none. Raises InputError when it is no UTF-8."""
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split())
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"prompt '{path}'", f"a file that cannot be read ({error})", "text in UTF-8") from error


def _of_csv(task: str, path: Path) -> list[Job]:
    own = "name" if task == "joint" else "file"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            known = [own, *COLUMNS]
            if own not in (table.fieldnames or ()) or set(table.fieldnames or ()) - set(known):
                received = ", ".join(map(str, table.fieldnames or ["nothing"]))
                raise InputError(f"CSV '{path}'", f"the columns {received}", f"{own} and any of {', '.join(COLUMNS)}")
            return [_of_row(task, path, own, number, row) for number, row in enumerate(table, start=2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"CSV '{path}'", f"a file that cannot be read ({error})", "a CSV file in UTF-8") from error


def _of_row(task: str, path: Path, own: str, number: int, row: Mapping[str | None, str | None]) -> Job:
    where = f"CSV '{path}', line {number}"
    if None in row or not row[own]:
        raise InputError(where, "a row that does not fit the columns", f"'{own}' and what the columns name")
    given: dict[str, Any] = {name: _value(where, name, text) for name in COLUMNS if (text := row.get(name))}
    name = PurePosixPath(str(row[own]).replace("\\", "/")).as_posix()
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise InputError(where, f"'{name}'", "a path below the CSV file's own folder")
    file = path.parent / name
    if "prompt" not in given and task != "joint":
        given["prompt"] = read_prompt(file.with_suffix(".txt"))
    return Job(name, "" if task == "joint" else str(file.absolute()), "", **given)


def _value(where: str, name: str, text: str) -> str | int | float:
    kind = COLUMNS[name]
    try:
        return int(text) if "int" in kind else float(text) if "float" in kind else text
    except ValueError as error:
        raise InputError(f"{where}, {name}", f"'{text}'", "a number") from error


def _with_outputs(task: str, jobs: Sequence[Job]) -> list[Job]:
    """Each with the path of its result: the input's own, with another suffix; of several that differ by theirs only, after it.

    Raises InputError when one input is named twice.
    """
    names = Counter(job.name for job in jobs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError("--inputs", f"'{twice[0]}' twice", "each once")
    stems = {
        name: name.removesuffix(".txt") if task == "joint" else PurePosixPath(name).with_suffix("").as_posix() for name in names
    }
    count = Counter(stems.values())
    return [replace(job, output=(stems[job.name] if count[stems[job.name]] == 1 else job.name) + SUFFIX[task]) for job in jobs]


def in_groups(jobs: Iterable[Job], keys: Mapping[str, object], size: int) -> list[tuple[Job, ...]]:
    """Jobs of one key together, at most `size`. What is grouped does not depend on what has been made before.

    keys: by the job's name; what must be alike in a batch.
    """
    groups: dict[object, list[list[Job]]] = {}
    for job in jobs:
        own = groups.setdefault(keys[job.name], [[]])
        if len(own[-1]) == size:
            own.append([])
        own[-1].append(job)
    return [tuple(group) for several in groups.values() for group in several]
