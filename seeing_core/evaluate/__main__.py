"""python -m seeing_core.evaluate: measures a folder of videos or sounds, alone or against a folder of real ones."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ..errors import InputError
from ..files import write_whole
from ..media.image_file import SUFFIXES as IMAGES
from ..metrics.motion import FLOW_SIDE
from ..parallel import add_options, cores, runner_of
from .measure import Job, Options, Record, Tools
from .report import Report, as_csv, as_json, summarise
from .run import measure_all
from .store import Store

INTERRUPTED = 130
NO_MEDIA = {*IMAGES, ".txt", ".csv", ".json"}  # pictures without sound, prompts and reports


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done (files that could not be measured are in the report), 2 bad arguments, 130 interrupted."""
    given = _parser().parse_args(arguments)
    out = Path(given.out)
    options = Options(given.sound_features, given.picture_features, given.flow_side, given.binder)
    try:
        jobs = _jobs(Path(given.generated), Path(given.reference) if given.reference else None, out, given.prompts)
        Tools.of(options)  # a wrong name or a missing weight file is told here, once
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    store = Store(files_beside(out))
    bar = tqdm(total=len(jobs), unit="file", file=sys.stderr)
    failed = 0

    def callback(record: Record) -> None:
        nonlocal failed
        failed += record.error is not None
        bar.set_postfix(failed=failed)
        bar.update()

    try:
        with bar:
            runner = runner_of(given, workers=1 if options.binder else cores())
            records = measure_all(jobs, options, store, runner=runner, callback=callback)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = sum(store.load(job, options) is not None for job in jobs)
        print(
            f"Interrupted: {kept} of {len(jobs)} files are measured and kept. The same command goes on from there.",
            file=sys.stderr,
        )
        return INTERRUPTED
    report = summarise(options, records)
    write_report(report, out)
    print(_summary(report, out))
    return 0


def files_beside(out: Path) -> Path:
    return out.with_name(out.stem + "_files")


def write_report(report: Report, out: Path) -> None:
    """The JSON at `out`, the CSV beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, as_json(report))
    write_whole(out.with_suffix(".csv"), as_csv(report))


def _jobs(generated: Path, reference: Path | None, out: Path, prompts: str | None) -> list[Job]:
    said = _prompts(prompts)
    real = _files(reference, out) if reference else {}
    partners = {_stem(name): str(path) for name, path in real.items()}
    made = [
        Job("generated", name, str(path), partners.get(_stem(name)), said.get(name, said.get(_stem(name), "")))
        for name, path in _files(generated, out).items()
    ]
    return [*made, *(Job("reference", name, str(path)) for name, path in real.items())]


def _files(folder: Path, out: Path) -> dict[str, Path]:
    """The media below a folder by their path in it; hidden files, pictures, notes and the report's own are left out."""
    if not folder.is_dir():
        raise InputError("folder", f"'{folder}'", "a folder of sound or video files")
    own = {path.resolve() for path in (out, out.with_suffix(".csv"))}
    beside = files_beside(out).resolve()
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        other = path.resolve() in own or beside in path.resolve().parents or path.suffix.lower() in NO_MEDIA
        if path.is_file() and not other and not any(part.startswith(".") for part in inside.parts):
            found[inside.as_posix()] = path
    if not found:
        raise InputError("folder", f"'{folder}', which is empty", "a folder of sound or video files")
    return found


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _prompts(path: str | None) -> dict[str, str]:
    """File name (with or without suffix) -> prompt, from a CSV of two columns."""
    if path is None:
        return {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return {row[0]: row[1] for row in csv.reader(file) if len(row) >= 2}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("prompts", f"'{path}' ({error})", "a CSV file: file name, prompt") from error


def _summary(report: Report, out: Path) -> str:
    lines = [
        f"{group:10}  {measure:20}  {mean}"
        for group, means in report.means.items()
        for measure, mean in means.items()
        if mean.count
    ]
    lines += [f"{name}: {value:.4g}" for name, value in report.distances.items()]
    lines += [f"Note: {note}" for note in report.notes]
    failures = [f"Not measured: {record.group}/{record.name}: {record.error}" for record in report.records if record.error]
    return "\n".join([*lines, *failures, f"Written: {out}, {out.with_suffix('.csv')}; plots in {files_beside(out)}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m seeing_core.evaluate", description=__doc__)
    parser.add_argument("--generated", required=True, metavar="DIR", help="folder of videos with sound, or of sounds")
    parser.add_argument(
        "--reference",
        metavar="DIR",
        help="folder of real ones: adds distances between the two sets; what "
        "a generated file lacks, picture or sound, is taken from the file of the same name",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE.json",
        help="the report; a .csv appears beside it, and FILE_files, which keeps what is measured and a plot of each video",
    )
    parser.add_argument("--prompts", metavar="FILE.csv", help="two columns, file name and prompt, for the binder scores")
    parser.add_argument("--binder", metavar="PATH", help="an ImageBind weight file or a PE-AV folder: adds binder scores")
    parser.add_argument(
        "--sound-features",
        default="mel",
        metavar="NAME",
        help="mel (default, no weights), vggish=FILE, panns=FILE, none, or package.module:function",
    )
    parser.add_argument(
        "--picture-features",
        default="look",
        metavar="NAME",
        help="look (default, no weights), i3d=FILE, none, or package.module:function",
    )
    parser.add_argument(
        "--flow-side",
        type=int,
        default=FLOW_SIDE,
        metavar="PIXELS",
        help="motion is measured with the "
        "short side reduced to this (default %(default)s); 0: the video's own size, as the paper's code does",
    )
    add_options(parser, "one a core; 1 with a binder")
    return parser


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # a file name that the terminal cannot show must not stop the command
    sys.exit(main())
