"""What each lever on speed costs in quality: the pocket models, judged as on the scoreboard, on the same clips.

    python -m tests.benchmarks.levers                 video to audio, 32 clips
    python -m tests.benchmarks.levers --task a2v --clips 16

"work": FLOPs of the whole run, against one without levers. "seconds": per clip, of processor time on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from seeing_core.metrics.interval import mean_interval
from tests.pocket.judges import frechet_distance
from seeing_core.guidance.settings import AlignSettings
from tests.benchmarks.scenes import PRESETS, STEPS, scene
from tests.benchmarks.scoreboard import DURATION_S, FPS, Row, real_features, run
from tests.benchmarks.sizes import Models, pocket

SEEDS = 30_000_000  # neither the scoreboard's nor the search's
LEVERS: dict[str, tuple[dict[str, Any], float]] = {  # changed settings, share of the usual steps
    "as it is": ({}, 1),
    "every 2nd step guided": ({"every": 2}, 1),
    "1 clip of 2": ({"clips": 1}, 1),
    "guidance by prompt to 70 %": ({"cfg_end_fraction": 0.7}, 1),
    "guidance by prompt to 50 %": ({"cfg_end_fraction": 0.5}, 1),
    "half the steps, DDIM": ({}, 0.5),
    "half the steps, DPM-Solver++": ({"solver": "dpm++"}, 0.5),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", choices=STEPS, default="v2a")
    options.add_argument("--clips", type=int, default=32)
    options.add_argument("--lever", nargs="+", choices=LEVERS, default=list(LEVERS))
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--out", type=Path, help="a JSON file with every row")
    chosen = options.parse_args()
    real, models = real_features(chosen.task, 64, SEEDS), pocket()
    rows: list[Row] = []
    strip_markup = run_flops(chosen.task, models, PRESETS[chosen.task]["balanced"], STEPS[chosen.task])
    print("| lever | right | 95 % | distance | work | seconds |\n|---|---|---|---|---|---|", flush=True)
    for lever in chosen.lever:
        changes, share = LEVERS[lever]
        settings, steps = replace(PRESETS[chosen.task]["balanced"], **changes), round(STEPS[chosen.task] * share)
        own = run(chosen.task, {lever: settings}, clips=chosen.clips, first_seed=SEEDS, steps=steps, workers=chosen.workers)
        flops = run_flops(chosen.task, models, settings, steps)
        print(line(lever, own, real, flops / strip_markup), flush=True)
        rows += own
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(row) for row in rows]))


def run_flops(task: str, models: Models, settings: AlignSettings, steps: int) -> int:
    frames, side = round(DURATION_S * FPS), models.video.native_side
    return scene(task, models, settings, duration_s=DURATION_S, frames=frames, side=side).run_flops(settings, steps)


def line(lever: str, rows: Sequence[Row], real: torch.Tensor, work: float) -> str:
    right = mean_interval([float(row.judged == row.kind) for row in rows])
    distance = frechet_distance(torch.tensor([row.features for row in rows]), real)
    seconds = sum(row.seconds for row in rows) / len(rows)
    return f"| {lever} | {right.mean:.0%} | {right.low:.0%} to {right.high:.0%} | {distance:.2f} | {work:.2f} | {seconds:.1f} |"


if __name__ == "__main__":
    main()
