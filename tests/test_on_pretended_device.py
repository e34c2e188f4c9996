"""What only a GPU shows, without one: nothing lies on the wrong device, and no guided step waits for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seeing_core.guidance.settings import AUDIO_PRESETS

ROOT = Path(__file__).resolve().parent.parent
PRESETS = {  # those that differ in what runs: "quality" is "balanced" with more drafts; of videos few, for they take long
    "v2a": [name for name in AUDIO_PRESETS if name != "quality"],
    "i2a": ["balanced", "paper"],
    "a2v": ["balanced", "paper", "fast"],
    "joint": ["balanced", "paper"],
}


def on_device(*what: str) -> dict[str, Any]:
    """In a process of its own: the pretended device takes a place in torch."""
    command = [sys.executable, "-m", "tests.on_pretended_device", *what]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    lines = [line for line in result.stdout.splitlines() if line.startswith("REPORT ")]
    assert lines, result.stderr[-3000:]
    return json.loads(lines[0].removeprefix("REPORT "))


@pytest.mark.parametrize("task", PRESETS)
def test_every_preset_runs_there_as_on_the_cpu_and_waits_for_nothing(task: str) -> None:
    report = on_device(*(f"{task}:{preset}" for preset in PRESETS[task]))
    for preset in PRESETS[task]:
        found = report[f"{task}:{preset}"]
        assert found["difference"] < 1e-6, preset
        assert found["waits"] == [], preset
        chosen = preset == "fast" or (task, preset) == ("i2a", "balanced")  # among drafts, or by words: no step is guided
        assert found["guided steps"] > 1 or chosen, preset


def test_the_second_binder_runs_there_too() -> None:
    for case, found in on_device("v2a:x0:pe_av", "a2v:balanced:pe_av", "joint:balanced:pe_av").items():
        assert found["difference"] < 1e-5, case  # it takes norms and angles in single precision
        assert found["waits"] == [] and found["guided steps"] > 1, case


def test_describing_and_measuring_run_there() -> None:
    assert len(on_device("measured")["measured"]) == 3


def test_mistakes_are_caught() -> None:
    for mistake, outcome in on_device("mistakes").items():
        assert outcome, f"{mistake} was not caught"
