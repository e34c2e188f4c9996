"""The script for a card runs where there is none, on small models: what it needs a card for, it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("agreement with the CPU", "vanished gradients", "out of memory", "accounting", "management")


def test_it_runs_on_a_cpu_and_writes_what_it_found(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    words = ["--device", "cpu", "--size", "stand-in", "--part", *PARTS, "--out", str(out)]
    subprocess.run([sys.executable, "-m", "tests.benchmarks.gpu", *words], cwd=ROOT, check=True, timeout=300)
    found = json.loads(out.read_text())
    assert found["no time for"] == [] and not any("failed" in found[part] for part in PARTS), found
    assert set(found["agreement with the CPU"].values()) == {0.0}
    assert found["vanished gradients"]["v2a fp32"] == 0.0
    assert "needs a card" in found["out of memory"]["skipped"]
    managed = found["management"]["default"]
    assert managed["out of memory once"] == "made" and managed["largest difference"] == 0.0
    assert managed["twice"].startswith("InputError: memory: received a task too large for this machine")
    counted = found["accounting"]
    assert all(counted[f"{task}, low memory"]["counted"] < counted[task]["counted"] for task in ("v2a", "a2v", "joint"))


def test_what_no_time_was_left_for_is_listed(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    words = ["--device", "cpu", "--size", "stand-in", "--part", "out of memory", "profile", "--minutes", "0", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "tests.benchmarks.gpu", *words], cwd=ROOT, check=True, timeout=300)
    assert json.loads(out.read_text())["no time for"] == ["out of memory", "profile"]
