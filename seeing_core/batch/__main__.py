"""python -m seeing_core.batch: a task for every file of a folder, or every row of a CSV file. What is made is not made again."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ..errors import InputError, check_number
from ..files import remove_partial, write_whole
from ..parallel import Failure, add_options, cores, runner_of
from .jobs import COLUMNS, TASKS, Job, in_groups, jobs_of
from .results import Results, identity
from .work import DTYPES, PRESETS, STEPS, Maker, Options, batch_key

FAILURES = "failures.csv"
SOME_FAILED, BAD_ARGUMENTS, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 all made, 1 some failed (they are listed), 2 bad arguments, 130 interrupted."""
    given = _parser().parse_args(arguments)
    try:
        options = _options(given)
        jobs = jobs_of(given.task, Path(given.inputs))
        states = states_of(jobs, options)
        groups = in_groups(jobs, _keys(jobs, options, given.batch), given.batch)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_ARGUMENTS
    counts = Counter(states.values())
    print(
        f"{len(jobs)} inputs: {counts['made']} made before, {counts['changed']} made from other files or with other settings "
        f"and made again, {counts['new']} new.",
        file=sys.stderr,
    )
    remove_partial(Path(options.out))
    failures: dict[str, str] = {}
    left = [group for group in groups if any(states[job.name] != "made" for job in group)]
    try:
        with tqdm(total=sum(map(len, left)), unit="file", file=sys.stderr) as bar:
            for job, failure in _outcomes(left, options, given):
                if failure is not None:
                    failures[job.name] = failure.reason
                    bar.set_postfix(failed=len(failures))
                bar.update()
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_ARGUMENTS
    except KeyboardInterrupt:
        made = sum(state == "made" for state in states_of(jobs, options).values())
        print(f"Interrupted: {made} of {len(jobs)} are made. The same command goes on from there.", file=sys.stderr)
        return INTERRUPTED
    _list_failures(failures, Path(options.out))
    print(f"{len(jobs) - len(failures)} of {len(jobs)} made, in {options.out}")
    return SOME_FAILED if failures else 0


def _outcomes(
    groups: Sequence[tuple[Job, ...]], options: Options, given: argparse.Namespace
) -> Iterator[tuple[Job, Failure | None]]:
    if not groups:
        return
    workers = options.devices if options.device == "cuda" else 1
    threads = max(1, cores() // (given.workers or workers))
    runner = runner_of(given, workers=workers, threads=threads, gpus=1.0 if options.device == "cuda" else 0.0)
    for group, outcome in runner(groups, partial(Maker, options)):
        yield from [(job, outcome) for job in group] if isinstance(outcome, Failure) else outcome


def states_of(jobs: Sequence[Job], options: Options) -> dict[str, str]:
    results = Results(Path(options.out))
    return {job.name: results.state(job, identity(job, options.recipe(job))) for job in jobs}


def _keys(jobs: Sequence[Job], options: Options, size: int) -> dict[str, object]:
    """What a job shares with those that can be made in one batch with it; candidates are a batch already."""
    if size == 1 or options.candidates > 1:
        return {job.name: job.name for job in jobs}
    return {job.name: batch_key(options.task, job, options) for job in jobs}


def _list_failures(failures: dict[str, str], out: Path) -> None:
    """On the terminal and in a file beside the results; no file where nothing failed."""
    path = out / FAILURES
    if not failures:
        path.unlink(missing_ok=True)
        return
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([("input", "reason"), *sorted(failures.items())])
    write_whole(path, table.getvalue())
    for name, reason in sorted(failures.items()):
        print(f"Not made: {name}: {reason}", file=sys.stderr)


def options_of(arguments: Sequence[str]) -> Options:
    """What a command line says. Raises InputError for what is missing or out of range."""
    return _options(_parser().parse_args(arguments))


def _options(given: argparse.Namespace) -> Options:
    import torch

    needed = {"audioldm": given.task != "a2v", "animatediff": given.task in ("a2v", "joint"), "binder": True}
    for name, is_needed in needed.items():
        if is_needed and not getattr(given, name):
            raise InputError(f"--{name}", "nothing", f"the model's own files, which the task {given.task} needs")
    for path in (given.audioldm, given.binder, *(given.animatediff or ())):
        if path and not Path(path).exists():
            raise InputError("model", f"'{path}'", "a file or folder on this machine; nothing is downloaded")
    check_number("--batch", given.batch, 1, 1024)
    check_number("--candidates", given.candidates, 1, 64)
    device = given.device or ("cuda" if torch.cuda.is_available() or given.gpus_per_worker else "cpu")
    precision = given.precision or ("bf16" if device.startswith("cuda") else "fp32")
    options = Options(
        given.task,
        str(Path(given.out).absolute()),
        str(Path(given.binder).absolute()),
        given.audioldm and str(Path(given.audioldm).absolute()),
        given.animatediff and tuple(str(Path(path).absolute()) for path in given.animatediff),
        given.preset,
        given.strength,
        given.steps,
        given.seed,
        given.candidates,
        given.negative_prompt,
        given.duration,
        given.fps,
        given.width,
        given.height,
        given.guidance_scale,
        device,
        max(1, torch.cuda.device_count()),
        precision,
    )
    options.settings(Job("", "", ""))  # a preset that the task does not have is told before anything starts
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m seeing_core.batch", description=__doc__)
    add = parser.add_argument
    add("task", choices=TASKS)
    add(
        "--inputs",
        required=True,
        metavar="DIR_OR_CSV",
        help="a folder of videos (v2a), images (i2a), sounds or videos with sound (a2v), or .txt prompts (joint); a .txt of the same "
        f"name is a file's prompt. Or a CSV file with a column 'file' (joint: 'name'), and any of {', '.join(COLUMNS)}",
    )
    add("--out", required=True, metavar="DIR", help="results under the inputs' own names and folders, each with a .json")
    add("--audioldm", metavar="PATH", help="a folder or file of AudioLDM (v2a, i2a, joint)")
    add("--animatediff", nargs=2, metavar=("BASE", "MOTION"), help="Stable Diffusion 1.5 and the motion module (a2v, joint)")
    add("--binder", metavar="PATH", help="an ImageBind file, or a PE-AV folder")
    names = dict.fromkeys(name for presets in PRESETS.values() for name in presets)
    add("--preset", default="balanced", help=f"one of {', '.join(names)} (default %(default)s)")
    add("--strength", type=float, default=1.0, metavar="X", help="of the guidance; 0 turns it off (default %(default)s)")
    usual = ", ".join(f"{task} {steps}" for task, steps in STEPS.items())
    add("--steps", type=int, metavar="N", help=f"denoise steps (default: {usual})")
    add("--seed", type=int, default=0, metavar="N", help="of every input (default %(default)s)")
    add("--candidates", type=int, default=1, metavar="N", help="of each input, best first (default %(default)s)")
    add("--batch", type=int, default=1, metavar="N", help="inputs of one length made at once (default %(default)s)")
    add("--negative-prompt", default="", metavar="TEXT")
    add("--duration", type=float, metavar="S", help="seconds (default: of the video or sound; i2a 10, joint 2)")
    add("--fps", type=float, default=8.0, metavar="F", help="of videos that are made (default %(default)s)")
    add("--width", type=int, default=0, metavar="PIXELS", help="of videos that are made (default: the model's own)")
    add("--height", type=int, default=0, metavar="PIXELS")
    add("--guidance-scale", type=float, metavar="X", help="classifier-free guidance; not in joint (default: the model's own)")
    add("--device", metavar="NAME", help="cuda or cpu (default: cuda where there is one; a worker on each GPU)")
    add("--precision", choices=DTYPES, help="of the weights (default: bf16 on cuda, fp32 on the cpu)")
    add_options(parser, "one a GPU, or one")
    return parser


if __name__ == "__main__":
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")  # a file name that the terminal cannot show must not stop the command
    sys.exit(main())
