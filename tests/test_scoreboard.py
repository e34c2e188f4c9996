"""Guidance works on the pocket world, by the judgement of signal processing, not of the binder that guides."""

from __future__ import annotations

import pytest
import torch

from seeing_core.settings import SOUND_PRESETS, AlignSettings
from tests.benchmarks.scoreboard import real_features, run, summary


@pytest.mark.parametrize("task", ["v2a", "i2a"])
def test_the_default_is_better_than_the_papers_rule_and_that_than_none(task: str) -> None:
    """32 clips: the kind of sound by judge, how near to real sounds it stays, and for a film its timing."""
    ways = {"vanilla": AlignSettings(strength=0.0), "paper": SOUND_PRESETS["paper"], "ours": SOUND_PRESETS["balanced"]}
    first = 10_100_000  # test seeds that the README's tables do not use
    rows = run(task, ways, clips=32, first_seed=first)
    real = real_features(task, 64, first)
    vanilla, paper, ours = (summary(rows, way, real) for way in ways)
    assert ours["right_low"] > paper["right_high"] and ours["right"] >= 0.85, (ours, paper)
    assert paper["fit"] > vanilla["fit"] and paper["right"] >= vanilla["right"] - 0.1, (paper, vanilla)
    assert ours["distance"] < paper["distance"], (ours, paper)
    assert torch.isfinite(real).all()
    if task == "v2a":
        assert ours["av_align"] >= 1.5 * paper["av_align"] and ours["event_error_s"] <= 0.1, (ours, paper)
