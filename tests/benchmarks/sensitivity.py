"""Does a seed give the same sound on another machine? How far the finished sound moves when one layer changes by 1e-6.

    python -m tests.benchmarks.sensitivity                     8 clips of 2 s, 30 steps: largest change, of full scale, per clip

Machines round differently, which is a change of about that size in every layer. A shared workflow with a seed is worth something
only if what it makes does not depend on it.
"""

from __future__ import annotations

import argparse
from statistics import median

import torch

from seeing_core.guidance.settings import AlignSettings
from seeing_core.tasks import RunConfig
from tests.benchmarks.scenes import STEPS
from tests.benchmarks.scoreboard import CAPTIONS, WAYS, make
from tests.benchmarks.sizes import Models, pocket
from tests.pocket.world import TEST_SEEDS, make_clip

CHANGE = 1e-6


@torch.no_grad()
def moved(task: str, models: Models, changed: Models, settings: AlignSettings, seed: int, caption: str) -> float:
    """The largest difference of the finished samples, which reach from -1 to 1."""
    clip = make_clip(seed)
    run = RunConfig([seed], STEPS[task], settings)
    made = [make(task, one, [clip], [CAPTIONS[caption](clip)], run).waveforms[0].samples for one in (models, changed)]
    return float((made[0] - made[1]).abs().max())


def changed_pocket() -> Models:
    """The pocket models, the UNet's first layer changed."""
    models = pocket()
    with torch.no_grad():
        models.audio.unet.conv_in.weight *= 1 + CHANGE
    return models


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", nargs="+", choices=["v2a", "i2a"], default=["v2a", "i2a"])
    options.add_argument("--preset", nargs="+", default=["unguided", "paper", "balanced"])
    options.add_argument("--caption", choices=CAPTIONS, default="vague")
    options.add_argument("--clips", type=int, default=8)
    chosen = options.parse_args()
    models, changed = pocket(), changed_pocket()
    for task in chosen.task:
        for preset in chosen.preset:
            seeds = range(TEST_SEEDS, TEST_SEEDS + chosen.clips)
            each = [moved(task, models, changed, WAYS[task][preset], seed, chosen.caption) for seed in seeds]
            print(f"{task} {preset}: median {median(each):.2g}, each " + " ".join(f"{one:.2g}" for one in each), flush=True)


if __name__ == "__main__":
    main()
