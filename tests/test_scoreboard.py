"""Guidance works on the pocket world, by the judgement of signal processing, not of the binder that guides."""

from __future__ import annotations

from seeing_core.metrics.interval import mean_interval
from seeing_core.settings import SOUND_PRESETS, AlignSettings
from tests.benchmarks.scoreboard import run


def test_guided_sound_is_right_far_more_often_than_vanilla() -> None:
    ways = {"vanilla": AlignSettings(strength=0.0), "balanced": SOUND_PRESETS["balanced"]}
    rows = run("v2a", ways, clips=24)
    right = {way: mean_interval([float(row.judged == row.kind) for row in rows if row.way == way]) for way in ways}
    assert right["balanced"].mean >= right["vanilla"].mean + 0.20, right
    assert right["balanced"].mean > right["vanilla"].high, right  # beyond its interval
