"""Only what a task uses is on the device; when memory runs out it is tried once more, then said what to lower."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scripts.comfy_server import COMFYUI, ROOT


def test_towers_come_and_go_and_memory_may_run_out(tmp_path):
    command = [sys.executable, str(Path(__file__).parent / "sparing.py"), str(COMFYUI), str(ROOT), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    lines = [line for line in result.stdout.splitlines() if line.startswith("REPORT ")]
    assert lines, result.stdout[-2000:] + result.stderr[-4000:]
    report = json.loads(lines[0].removeprefix("REPORT "))
    # "" is AudioLDM or AnimateDiff; the towers that embedded fixed targets have left before sampling begins.
    assert set(report["on device"]["image to audio"]) == {"", "audio"}
    assert set(report["on device"]["audio to video"]) == {"", "vision"}
    assert report["second attempt"] == ["made", [8, 4], 8]
    assert report["models after the first"] == 0
    assert report["too large"].startswith("memory: received a task too large for this machine (")
    assert "Lower width, height or duration" in report["too large"]
    assert report["another error"] == "RuntimeError"
