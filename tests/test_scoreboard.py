"""Guidance works on the pocket world, by the judgement of signal processing, not of the binder that guides."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.scoreboard import SHOWN, WAYS, real_features, run, summary

FIRST = 10_100_000  # test seeds that the README's tables do not use


def compared(task: str, steps: int | None = None) -> list[dict]:
    """32 clips unguided, by the paper's rule and by the default: what the judges say of each."""
    presets = {preset: WAYS[task][preset] for preset in SHOWN}
    rows = run(task, presets, clips=32, first_seed=FIRST, steps=steps)
    real = real_features(task, 64, FIRST)
    assert torch.isfinite(real).all()
    return [summary(rows, preset, real) for preset in presets]


@pytest.mark.parametrize("task", ["v2a", "i2a"])
def test_the_default_sound_is_better_than_the_papers_rule_and_that_than_none(task: str) -> None:
    """The kind of sound by judge, how near to real sounds it stays, and for a video its timing."""
    unguided, paper, ours = compared(task)
    assert ours["right_low"] > paper["right_high"] and ours["right"] >= 0.85, (ours, paper)
    assert paper["fit"] > unguided["fit"] and paper["right"] >= unguided["right"] - 0.1, (paper, unguided)
    assert ours["distance"] < paper["distance"], (ours, paper)
    if task == "v2a":
        assert ours["av_align"] >= 1.5 * paper["av_align"] and ours["event_error_s"] <= 0.1, (ours, paper)


@pytest.mark.parametrize("task", ["a2v", "joint"])
def test_the_default_video_is_better_than_the_papers_rule_and_that_than_none(task: str) -> None:
    """The kind of video, or whether video and sound are of one kind; in few steps, since videos take long."""
    unguided, paper, ours = compared(task, steps={"a2v": 15, "joint": 10}[task])
    assert ours["right_low"] > paper["right_high"] and ours["right"] >= 0.85, (ours, paper)
    assert paper["fit"] > unguided["fit"] and paper["right"] >= unguided["right"], (paper, unguided)
    assert ours["distance"] < paper["distance"] and ours["flicker"] < paper["flicker"], (ours, paper)
    if task == "a2v":
        assert ours["av_align"] >= 1.2 * paper["av_align"], (ours, paper)
