"""The report as a page for a browser, its plots beside it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..metrics.interval import Mean
from .measure import MEASURES, Record
from .report import Report

TITLES = {
    "av_align_one_to_one": "AV-Align, one to one",
    "av_align_paper": "AV-Align, paper form",
    "lag_ms": "lag, ms",
    "lag_abs_ms": "size of the lag, ms",
    "lag_correlation": "lag correlation",
    "binder_av": "binder: sound, picture",
    "binder_vt": "binder: picture, prompt",
    "binder_at": "binder: sound, prompt",
}
SHOWN = ("av_align_one_to_one", "av_align_paper", "lag_ms", "lag_correlation")
STYLE = """
body { background: #18181f; color: #d8d8e0; font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px;
  padding: 0 1rem; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { border-bottom: 1px solid #34343f; padding: .35rem .7rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: #9a9aa8; font-weight: 500; }
.note { border-left: 3px solid #ff9e64; padding: .2rem .8rem; margin: .5rem 0; background: #20202a; }
.bad th:last-child { text-align: left; } .bad td:last-child { text-align: left; white-space: normal; color: #ff9e64; }
details { background: #20202a; margin: .5rem 0; padding: .4rem .9rem; border-radius: 6px; }
summary { cursor: pointer; } pre { white-space: pre-wrap; } img { width: 100%; border-radius: 4px; }
.faint { color: #9a9aa8; }
"""


def as_html(report: Report, plots: dict[tuple[str, str], Path]) -> str:
    """plots: (group, name) of a file -> its picture, relative to the page."""
    body = [
        "<h1>How well sound and picture fit</h1>",
        f"<p class=faint>{_counts(report)}</p>",
        *(f"<div class=note>{escape(note)}</div>" for note in report.notes),
        "<h2>Means</h2>",
        _means(report),
        "<p class=faint>Mean, 95 % bootstrap interval, number of files. Undefined values are not counted.</p>",
        *(["<h2>Distances to the reference, and classes</h2>", _distances(report)] if report.distances else []),
        "<h2>Files</h2>",
        *_files(report, plots),
        *_failed(report),
    ]
    head = (
        f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>Evaluation</title><style>{STYLE}</style>"
    )
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _counts(report: Report) -> str:
    options = report.options
    size = f"short side at most {options.flow_side} pixels" if options.flow_side else "the videos' own size"
    groups = [f"{sum(r.group == group for r in report.records)} {group}" for group in report.means]
    return escape(
        f"{', '.join(groups)} files. Motion measured at {size}. Sound features: {options.sound_features}; "
        f"picture features: {options.picture_features}; binder: {options.binder or 'none'}."
    )


def _means(report: Report) -> str:
    measures = [m for m in MEASURES if any(means[m].count for means in report.means.values())]
    rows = [[TITLES[m], *(_mean(means[m]) for means in report.means.values())] for m in measures]
    return _table(["measure", *report.means], rows)


def _mean(mean: Mean) -> str:
    if not mean.count:
        return "undefined"
    return f"{_short(mean.mean)} [{_short(mean.low)}, {_short(mean.high)}] (n = {mean.count})"


def _distances(report: Report) -> str:
    return _table(["measure", "value"], [[name, f"{value:.4g}"] for name, value in report.distances.items()])


def _files(report: Report, plots: dict[tuple[str, str], Path]) -> list[str]:
    fine = [r for r in report.records if not r.error]
    fine.sort(key=lambda r: (r.group, -(r.scores.get("av_align_one_to_one") or -1)))
    rows = [
        [f"{r.group}/{r.name}", _short(r.duration_s), _short(r.fps), *(_short(r.scores.get(m)) for m in SHOWN)] for r in fine
    ]
    table = _table(["file", "seconds", "fps", *(TITLES[m] for m in SHOWN)], rows)
    return [table, *(_detail(r, plots[r.group, r.name]) for r in fine if (r.group, r.name) in plots)]


def _detail(record: Record, plot: Path) -> str:
    name = escape(f"{record.group}/{record.name}")
    return (
        f"<details><summary>{name}</summary><pre>{escape(record.words)}</pre>"
        f"<img loading=lazy alt='Onsets and motion of {name}' src='{escape(plot.as_posix())}'></details>"
    )


def _failed(report: Report) -> list[str]:
    rows = [[f"{r.group}/{r.name}", r.error or ""] for r in report.records if r.error]
    return ["<h2>Files that could not be measured</h2>", _table(["file", "reason"], rows, "bad")] if rows else []


def _table(head: list[str], rows: list[list[str]], kind: str = "") -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table class='{kind}'><tr>{top}</tr>{lines}</table></div>"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
