"""Throughput of the batch command on this machine: clips of the pocket world, with one and two workers, here and on Ray.

    python -m tests.benchmarks.batch [--clips 32] [--task v2a]

"steady": clips a minute after each worker has made its first, which leaves out the start of processes and the loading of models.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path

from seeing_core.batch.__main__ import main as batch
from seeing_core.pocket import MODELS_DIR
from tests.benchmarks.search import SEARCH_SEEDS
from tests.pocket.world import make_clip, write_clip

WAYS = {
    "1 worker": ["--workers", "1"],
    "1 worker, batches of 4": ["--workers", "1", "--batch", "4"],
    "2 workers": ["--workers", "2"],
    "Ray on this machine, 2 workers": ["--workers", "2", "--ray", "local"],
}


def measured(task: str, clips: Path, out: Path, words: list[str]) -> tuple[float, float]:
    """Seconds of the whole command, and clips a minute once it runs."""
    models = ["--audioldm", MODELS_DIR / "audioldm", "--binder", MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors"]
    if task == "a2v":
        models[:2] = ["--animatediff", MODELS_DIR / "animatediff" / "sd", MODELS_DIR / "animatediff" / "motion_adapter"]
    started = time.monotonic()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        code = batch([str(word) for word in [task, "--inputs", clips, "--out", out, *models, *words]])
    assert code == 0
    seconds = time.monotonic() - started
    ends = sorted(path.stat().st_mtime for path in out.rglob("*.json"))
    first = ends[4]
    return seconds, 60 * sum(end > first for end in ends) / (ends[-1] - first)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", choices=["v2a", "a2v"], default="v2a")
    options.add_argument("--clips", type=int, default=32)
    chosen = options.parse_args()
    print("| way | seconds in all | clips a minute, steady |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        clips = Path(folder, "clips")
        clips.mkdir()
        for seed in range(SEARCH_SEEDS, SEARCH_SEEDS + chosen.clips):
            write_clip(make_clip(seed), clips / f"{seed}.mp4")
        for number, (name, words) in enumerate(WAYS.items()):
            seconds, rate = measured(chosen.task, clips, Path(folder, str(number)), words)
            print(f"| {name} | {seconds:.0f} | {rate:.1f} |", flush=True)


if __name__ == "__main__":
    main()
