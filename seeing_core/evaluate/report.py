"""What the records say together: means with intervals, distances between the two sets, and what to beware of."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..metrics.divergence import inception_score, mean_kl, mean_kl_sigmoid
from ..metrics.frechet import frechet_distance, gaussian_of
from ..metrics.interval import Mean, mean_interval
from ..metrics.kernel_distance import kernel_distance
from .measure import MEASURES, Options, Record

PUBLISHED = {"vggish": "FAD (VGGish)", "panns": "FD (PANNs)", "i3d": "FVD (I3D)"}
COLUMNS = ("group", "name", "error", "duration_s", "fps", "frames", "onsets", "motions", *MEASURES, "seconds")
FEW_ROWS = 64


@dataclass(frozen=True)
class Report:
    """means: group -> measure -> `Mean`.  distances: name -> value.  notes: plain warnings.  records: of all files."""

    options: Options
    records: tuple[Record, ...]
    means: dict[str, dict[str, Mean]]
    distances: dict[str, float]
    notes: tuple[str, ...]


def summarise(options: Options, records: Sequence[Record]) -> Report:
    groups = sorted({record.group for record in records})
    means = {
        group: {
            measure: mean_interval([r.scores[measure] for r in records if r.group == group and r.scores])
            for measure in MEASURES
        }
        for group in groups
    }
    distances, notes = {}, _notes(records)
    for what, name in (("sound", options.sound_features), ("picture", options.picture_features)):
        found, beware = _distances(records, what, name)
        distances |= found
        notes += beware
    return Report(options, tuple(records), means, distances, tuple(notes))


def _distances(records: Sequence[Record], what: str, features: str) -> tuple[dict[str, float], list[str]]:
    """Fréchet and kernel distance of the generated set to the reference set, and the divergences of its classes."""
    kind = features.partition("=")[0]
    sets = [_gathered(records, group, f"{what}_rows") for group in ("generated", "reference")]
    found: dict[str, float] = {}
    notes: list[str] = []
    if min(map(len, sets)) >= 2:
        first, second = (torch.tensor(rows) for rows in sets)
        title = PUBLISHED.get(kind, f"Fréchet distance ({what}, features '{kind}')")
        found[title] = frechet_distance(gaussian_of(first), gaussian_of(second))
        other = "KVD (I3D)" if kind == "i3d" else f"kernel distance ({what}, features '{kind}')"
        found[other] = kernel_distance(first, second)
        if min(len(first), len(second)) < max(FEW_ROWS, first.shape[1]):
            notes.append(
                f"{title} is taken on {len(first)} and {len(second)} rows of {first.shape[1]} features: too few "
                "for its size to mean much. Compare it only between sets of equal size."
            )
    if what == "sound":
        found |= _divergences(records, kind)
    return found, notes


def _divergences(records: Sequence[Record], kind: str) -> dict[str, float]:
    """ISc of the generated sounds, and MKL over those with a reference of the same name (the suffix aside)."""
    ours, theirs = (
        {_stem(r.name): r.sound_logits for r in records if r.group == group and r.sound_logits}
        for group in ("generated", "reference")
    )
    found = {f"ISc ({kind})": inception_score(torch.tensor(list(ours.values())))} if ours else {}
    pairs = [(ours[name], theirs[name]) for name in ours if name in theirs]
    if pairs:
        generated, reference = (torch.tensor(side) for side in zip(*pairs, strict=True))
        found[f"MKL ({kind}, softmax, {len(pairs)} pairs)"] = mean_kl(generated, reference)
        found[f"MKL ({kind}, sigmoid, {len(pairs)} pairs)"] = mean_kl_sigmoid(generated, reference)
    return found


def _gathered(records: Sequence[Record], group: str, rows: str) -> list[list[float]]:
    return [row for record in records if record.group == group for row in getattr(record, rows) or []]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _notes(records: Sequence[Record]) -> list[str]:
    notes = []
    rates = Counter(f"{r.fps:g}" for r in records if r.group == "generated" and r.fps)
    if len(rates) > 1:
        found = ", ".join(f"{rate} fps ({count})" for rate, count in sorted(rates.items()))
        notes.append(
            f"The videos differ in frame rate: {found}. AV-Align allows one frame of error, so its scores do not "
            "compare between frame rates."
        )
    undefined = [r.name for r in records if r.group == "generated" and r.scores and r.scores["av_align_one_to_one"] is None]
    if undefined:
        notes.append(f"{len(undefined)} files have neither onsets nor motion: AV-Align is undefined there and not counted.")
    single = [r for r in records if r.group == "generated" and not r.error and not r.scores]
    if single:
        notes.append(
            f"{len(single)} files have no sound track or no picture, and no reference of the same name that has: "
            "they have no audio-visual scores."
        )
    borrowed = [r for r in records if r.group == "generated" and "reference" in (r.picture, r.sound)]
    if borrowed:
        notes.append(f"{len(borrowed)} files were measured with the picture or the sound of the reference of their name.")
    failed = sum(record.error is not None for record in records)
    if failed:
        notes.append(f"{failed} files could not be measured; they are listed with the reason and counted nowhere.")
    return notes


def as_json(report: Report) -> str:
    files = [
        {key: value for key, value in record.as_dict().items() if not key.endswith(("_rows", "_logits"))}
        for record in report.records
    ]
    return (
        json.dumps(
            {
                "options": asdict(report.options),
                "means": {
                    group: {measure: _plain(asdict(mean)) for measure, mean in means.items()}
                    for group, means in report.means.items()
                },
                "distances": report.distances,
                "notes": report.notes,
                "files": files,
            },
            indent=1,
            allow_nan=False,
            ensure_ascii=False,
        )
        + "\n"
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


def as_csv(report: Report) -> str:
    """One row for each file; empty where undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in report.records:
        writer.writerow(record.as_dict() | record.scores)
    return text.getvalue()
