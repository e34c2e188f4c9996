"""Pictures of the measures: what sounded when, what moved when, what matched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..guidance.trace import Trace
from ..media.types import Waveform
from ..metrics.events import Events
from ..metrics.fit import AVFit, format_score

SIZE_PX = (1200, 720)
DPI = 120
PAPER, PANEL, TEXT, FAINT = "#18181f", "#20202a", "#d8d8e0", "#4a4a58"
SOUND, MOTION, HIT, MISS = "#78c8ff", "#c792ea", "#7ee08a", "#ff9e64"
TERMS = ("#78c8ff", "#ffcb6b", "#c792ea", "#7ee08a")
COLUMNS = 1500


def fit_plot(fit: AVFit) -> Tensor:
    """(720, 1200, 3), 0..1: the waveform with its onsets, the flow with its peaks, matches joined, the binder's seconds.

    Onsets and peaks are those of the one-to-one form; green ones match, orange ones do not.
    """
    rows = [3, 3, 2] if fit.binder else [1, 1]
    figure, axes = _figure(rows)
    end = max(fit.video_s, fit.sound.duration_s)
    _wave(axes[0], fit)
    _flow(axes[1], fit)
    for axis in axes:
        axis.set_xlim(0, end)
    if fit.binder:
        _seconds(axes[2], fit)
    axes[-1].set_xlabel("seconds")
    for onset, motion in fit.one_to_one.hits:
        _join(figure, axes[0], onset, axes[1], motion)
    lag = "undefined" if fit.lag.lag_s is None else f"{1000 * fit.lag.lag_s:+.0f} ms, correlation {fit.lag.correlation:.2f}"
    axes[0].set_title(
        f"AV-Align one to one {format_score(fit.one_to_one.score, 2)}     paper form {format_score(fit.paper.score, 2)}"
        f"     lag {lag}",
        loc="left",
        color=TEXT,
        fontsize=10,
        pad=8,
    )
    return _pixels(figure)


def trace_plot(trace: Trace) -> Tensor:
    """(720, 1200, 3), 0..1: the loss of a guided run and its terms, over the denoise steps, and how well its drafts fit."""
    figure, (axis,) = _figure([1])
    counts: dict[int, int] = {}
    for point in trace.points:
        counts[point.step] = counts.get(point.step, 0) + 1
    steps = [point.step + 1 + point.inner / counts[point.step] for point in trace.points]
    style = {"marker": "o", "markersize": 3}
    for name, colour in zip(trace.terms, np.resize(TERMS, len(trace.terms)), strict=True):
        values = [point.terms.get(name, np.nan) for point in trace.points]
        axis.plot(steps, values, color=colour, linewidth=1.4, label=name, **style)
    if trace.points:
        axis.plot(steps, [point.loss for point in trace.points], color=TEXT, linewidth=2.2, label="loss", **style)
    for number, compared in enumerate(trace.comparisons):
        drafts = {"drafts": (FAINT, 22, list(compared.losses)), "the draft that goes on": (HIT, 48, [compared.chosen])}
        for label, (colour, size, losses) in drafts.items():
            places = [compared.step] * len(losses)
            axis.scatter(places, losses, s=size, color=colour, label=None if number else label, zorder=3)
    axis.set_xlim(0, trace.steps + 1)
    axis.set_xlabel("denoise step")
    axis.set_ylabel("1 - cosine, smaller is closer", color=TEXT)
    title = str(trace).splitlines()[0]
    axis.set_title(title, loc="left", color=TEXT, fontsize=10, pad=8)
    if trace.points or trace.comparisons:
        axis.legend(facecolor=PANEL, edgecolor=FAINT, labelcolor=TEXT, fontsize=9)
    else:
        axis.text(0.5, 0.5, "no step was guided", color=TEXT, ha="center", transform=axis.transAxes)
    return _pixels(figure)


def events_plot(
    events: Events, chosen: Sequence[float], duration_s: float, frames: Tensor | None = None, sound: Waveform | None = None
) -> Tensor:
    """(720, 1200, 3), 0..1: frames (n, 3, H, W), evenly chosen, or a waveform; below it the curve with the chosen events."""
    figure, (upper, lower) = _figure([2, 3])
    if frames is not None:
        strip = np.concatenate(list(frames.movedim(1, -1).clamp(0, 1).cpu().numpy()), 1)
        upper.imshow(strip, extent=(0, duration_s, 0, 1), aspect="auto", interpolation="nearest")
    if sound is not None:
        _waveform(upper, sound)
    upper.set_yticks([])
    lower.plot(events.curve_s.numpy(), events.curve.numpy(), color=MOTION, linewidth=1.5)
    lower.set_ylabel("movement" if sound is None else "onset strength", color=MOTION)
    for time_s in chosen:
        for axis in (upper, lower):
            axis.axvline(time_s, color=HIT, linewidth=1.3)
    rest = [
        (time_s, strength) for time_s, strength in zip(events.times_s, events.strengths, strict=True) if time_s not in chosen
    ]
    lower.scatter([time_s for time_s, _ in rest], [strength for _, strength in rest], color=MISS, s=26, zorder=3)
    for axis in (upper, lower):
        axis.set_xlim(0, duration_s)
    lower.set_xlabel("seconds")
    upper.set_title(f"{len(chosen)} of {len(events.times_s)} events", loc="left", color=TEXT, fontsize=10, pad=8)
    return _pixels(figure)


def _figure(rows: list[int]) -> tuple[Any, list[Any]]:
    """A figure of its own canvas (no global state of matplotlib is touched) with one panel above the other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE_PX[0] / DPI, SIZE_PX[1] / DPI), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    for axis in axes:
        axis.set_facecolor(PANEL)
        axis.tick_params(colors=TEXT, labelsize=8)
        axis.xaxis.label.set_color(TEXT)
        axis.grid(axis="x", color=FAINT, linewidth=0.4)
        for spine in axis.spines.values():
            spine.set_color(FAINT)
    return figure, list(axes)


def _wave(axis: Any, fit: AVFit) -> None:
    _waveform(axis, fit.sound)
    hits = {onset for onset, _ in fit.one_to_one.hits}
    for onset in fit.one_to_one.onsets_s:
        axis.axvline(onset, color=HIT if onset in hits else MISS, linewidth=1.3)


def _waveform(axis: Any, sound: Waveform) -> None:
    samples = sound.samples.float().mean(0).cpu().numpy()
    parts = np.array_split(samples, min(COLUMNS, len(samples)))
    times = np.linspace(0, sound.duration_s, len(parts))
    axis.fill_between(times, [p.min() for p in parts], [p.max() for p in parts], color=SOUND, linewidth=0.3, alpha=0.8)
    loudest = max(float(np.abs(samples).max()), 1e-3)
    axis.set_ylim(-1.1 * loudest, 1.1 * loudest)
    axis.set_ylabel("sound", color=SOUND)


def _flow(axis: Any, fit: AVFit) -> None:
    times, flow = fit.motion.times_s.numpy(), fit.motion.flow.numpy()
    axis.plot(times, flow, color=MOTION, linewidth=1.5)
    axis.set_ylim(0, 1.15 * max(float(flow.max()), 0.1))
    axis.set_ylabel("motion, pixels a frame", color=MOTION)
    hits = {motion for _, motion in fit.one_to_one.hits}
    peaks = np.array(fit.one_to_one.motions_s)
    heights = np.interp(peaks, times, flow)
    axis.scatter(peaks, heights, color=[HIT if peak in hits else MISS for peak in peaks], s=26, zorder=3)


def _seconds(axis: Any, fit: AVFit) -> None:
    scores = fit.binder.av_each.numpy()
    end = axis.get_xlim()[1]
    edges = np.linspace(0, fit.video_s, len(scores) + 1)  # clips overlap a little; bars of equal width show their order
    axis.bar(edges[:-1], scores, width=np.diff(edges) * 0.96, align="edge", color=SOUND, alpha=0.75)
    for left, width, score in zip(edges[:-1], np.diff(edges), scores, strict=True):
        if width / end > 0.045:
            axis.text(left + width * 0.48, max(score, 0), f"{score:.2f}", color=TEXT, fontsize=8, ha="center", va="bottom")
    low, high = min(0.0, float(scores.min())), max(0.1, float(scores.max()))
    axis.set_ylim(low * 1.2, high * 1.35)
    axis.axhline(0, color=FAINT, linewidth=0.8)
    axis.set_ylabel("binder similarity", color=TEXT)


def _join(figure: Any, upper: Any, onset: float, lower: Any, motion: float) -> None:
    """A line from the foot of an onset to the top of the panel below, at its motion's time."""
    from matplotlib.patches import ConnectionPatch

    figure.add_artist(
        ConnectionPatch(
            (onset, 0),
            (motion, 1),
            upper.get_xaxis_transform(),
            lower.get_xaxis_transform(),
            axesA=upper,
            axesB=lower,
            color=HIT,
            linewidth=1.3,
        )
    )
    lower.axvline(motion, color=HIT, linewidth=0.8, linestyle=":")


def _pixels(figure: Any) -> Tensor:
    figure.canvas.draw()
    return torch.from_numpy(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()).float() / 255
