"""What a run costs: FLOPs and peak memory of a guided step, part by part, beside what it cannot do without.

    python -m tests.benchmarks.cost                           real sizes, on the meta device: nothing large is allocated
    python -m tests.benchmarks.cost --size stand-in --time 5  small models, timed (processor time of one thread, medians)
    python -m tests.benchmarks.cost --size pocket --runs      whole runs of the presets, timed against `paper`
    python -m tests.benchmarks.cost --released                against the paper's released loop, video to audio, 10 s
    python -m tests.benchmarks.cost --released --size huge-binder --time 3   the same in time: imagebind_huge with random
                                                              weights, 6 GB of memory; AudioLDM small

Audio of 10 s; video of 16 frames of 512 x 512 at real size. "floor": each module's own passes, called plainly, nothing
else. "memory": the most that is alive at once during the step, activations and latents; weights come on top.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from seeing_core.guidance.loop import Progress, sample
from seeing_core.guidance.losses import TargetTerm, WeightedLoss
from seeing_core.guidance.settings import AlignSettings
from tests.benchmarks import sizes
from tests.benchmarks.counting import Cost, count
from tests.benchmarks.released import ReleasedLoop
from tests.benchmarks.scenes import PRESETS, STEPS, Scene, floor, scene

PARTS = ("UNet", "VAE", "vocoder", "binder", "rest")
SIZES: dict[str, Callable[[], sizes.Models]] = {
    "real": sizes.real,
    "real-half": lambda: sizes.real(torch.float16),
    "stand-in": sizes.stand_in,
    "pocket": sizes.pocket,
    "huge-binder": sizes.huge_binder,
}
PAPER = AlignSettings("paper")


def steps_table(models: sizes.Models, tasks: Sequence[str], repeats: int, low_memory: bool) -> list[dict[str, Any]]:
    """One row per task and preset."""
    side = min(512, models.video.native_side)
    rows = []
    for task in tasks:
        for preset, settings in PRESETS[task].items():
            one = scene(task, models, settings, side=side, low_memory=low_memory)
            rows.append({"task": task, "preset": preset} | measured(one, settings, STEPS[task], repeats))
    return rows


def measured(one: Scene, settings: AlignSettings, steps: int, repeats: int) -> dict[str, Any]:
    ours = one.cost(settings)
    least = count(lambda: call_all(floor(one, settings)), one.parts)
    row = numbers(ours) | {"floor": least.total, "ratio": ours.total / least.total, "run": one.run_flops(settings, steps)}
    if repeats:
        seconds = timed([lambda: one.step(settings), lambda: call_all(floor(one, settings))], repeats)
        row |= {"seconds": seconds[0], "floor_seconds": seconds[1], "time_ratio": seconds[0] / seconds[1]}
    return row


def runs_table(models: sizes.Models, tasks: Sequence[str], repeats: int) -> list[dict[str, Any]]:
    """Seconds of whole runs for 2 s, all presets of a task in turns, and how many times faster each is than `paper`."""
    side, rows = models.video.native_side, []
    for task in tasks:
        runs = {}
        for preset in ("paper", "quality", "balanced", "fast"):
            settings = PRESETS[task][preset]
            one = scene(task, models, settings, duration_s=2.0, side=side)
            one.step(settings)
            runs[preset] = partial(one.run, settings, STEPS[task])
        seconds = dict(zip(runs, timed(list(runs.values()), repeats), strict=True))
        rows += [
            {"task": task, "preset": preset, "seconds": own, "faster": seconds["paper"] / own}
            for preset, own in seconds.items()
        ]
    return rows


def numbers(cost: Cost) -> dict[str, Any]:
    return {"flops": dict(cost.flops), "total": cost.total, "peak_bytes": cost.peak}


def call_all(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()


def timed(works: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Seconds of processor time each: medians of repeats that take turns. All have run once before, to be counted."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, own in zip(works, taken, strict=True):
            started = time.process_time()
            work()
            own.append(time.process_time() - started)
    return [statistics.median(own) for own in taken]


def against_released(models: sizes.Models, repeats: int, *, duration_s: float = 10.0) -> dict[str, Any]:
    """Both loops on the same weights and targets, one guided step each; the losses only where numbers are computed."""
    ours, theirs = same_work(models, duration_s=duration_s)
    parts = scene("v2a", models, PAPER).parts
    losses: list[list[torch.Tensor]] = []
    costs = [count(lambda run=run: losses.append(run()), parts) for run in (ours, theirs)]
    row = {"ours": numbers(costs[0]), "released": numbers(costs[1]), "fewer": costs[1].total / costs[0].total}
    if repeats:
        seconds = timed([ours, theirs], repeats)
        row |= {
            "seconds": seconds[0],
            "released_seconds": seconds[1],
            "faster": seconds[1] / seconds[0],
            "losses": [float(own[0]) for own in losses],
        }
    return row


def same_work(
    models: sizes.Models, *, duration_s: float, steps: int = 1
) -> tuple[Callable[[], list[torch.Tensor]], Callable[[], list[torch.Tensor]]]:
    """Our loop and the released one on the same video, words, noise and weights: each gives the losses of its guided steps."""
    weights = next(models.binder.parameters())
    video = torch.rand(round(duration_s), 3, 2, 224, 224, generator=torch.Generator().manual_seed(1)).to(weights)
    words = torch.randint(1, 49000, (1, 77), generator=torch.Generator().manual_seed(1)).to(weights.device)
    start = -1.0 if steps == 1 else 0.2
    one = scene("v2a", models, PAPER, duration_s=duration_s)
    [generator] = one.generators
    with torch.no_grad():
        seen, read = (
            models.binder.towers({kind: given})[kind][0] for kind, given in (("vision", video[None]), ("text", words))
        )
    terms = [TargetTerm("vision", 1.0, "audio", seen), TargetTerm("text", 1.0, "audio", read)]
    loss = WeightedLoss(one.loss.views, [terms])
    released = ReleasedLoop(generator, models.binder, video, words)
    settings = AlignSettings("paper", start_fraction=max(start, 0.0))

    def ours() -> list[torch.Tensor]:
        losses: list[torch.Tensor] = []

        def callback(progress: Progress) -> None:
            if progress.evaluation:
                losses.append(progress.evaluation.loss)

        sample([generator], loss, settings, seeds=[0], steps=steps, callback=callback)
        return losses

    return ours, lambda: released.run(seed=0, steps=steps, start_fraction=start)[1]


def print_steps(rows: Sequence[dict[str, Any]]) -> None:
    unit = 1e12 if rows[0]["total"] > 1e11 else 1e9
    name = "TFLOP" if unit == 1e12 else "GFLOP"
    timed_too = "seconds" in rows[0]
    print(
        f"| task | preset | {' | '.join(PARTS)} | step, {name} | floor | ratio | run, {name} | memory, GiB |"
        + (" seconds | floor | ratio |" if timed_too else "")
    )
    print("|" + "---|" * (12 + 3 * timed_too))
    for row in rows:
        parts = " | ".join(f"{row['flops'].get(part, 0) / unit:.3g}" for part in PARTS)
        line = (
            f"| {row['task']} | {row['preset']} | {parts} | {row['total'] / unit:.3g} | {row['floor'] / unit:.3g} | "
            f"{row['ratio']:.2f} | {row['run'] / unit:.3g} | {row['peak_bytes'] / 2**30:.2f} |"
        )
        if timed_too:
            line += f" {row['seconds']:.2f} | {row['floor_seconds']:.2f} | {row['time_ratio']:.2f} |"
        print(line)


def print_runs(rows: Sequence[dict[str, Any]]) -> None:
    print("| task | preset | a whole run, seconds | times faster than paper |\n|" + "---|" * 4)
    for row in rows:
        print(f"| {row['task']} | {row['preset']} | {row['seconds']:.2f} | {row['faster']:.2f} |", flush=True)


def print_released(row: dict[str, Any]) -> None:
    print(f"| one guided step, 10 s of video | {' | '.join(PARTS)} | total, TFLOP | memory, GiB | seconds |\n|" + "---|" * 9)
    for name, seconds in (("ours", "seconds"), ("released", "released_seconds")):
        parts = " | ".join(f"{row[name]['flops'].get(part, 0) / 1e12:.3g}" for part in PARTS)
        took = f"{row[seconds]:.1f}" if seconds in row else ""
        print(f"| {name} | {parts} | {row[name]['total'] / 1e12:.3g} | {row[name]['peak_bytes'] / 2**30:.2f} | {took} |")
    print(f"{row['fewer']:.2f} times fewer FLOPs" + (f", {row['faster']:.2f} times faster" if "faster" in row else ""))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=SIZES, default="real")
    options.add_argument("--task", nargs="+", choices=STEPS, default=["v2a", "a2v", "joint"])
    options.add_argument("--released", action="store_true", help="against the paper's released loop")
    options.add_argument("--runs", action="store_true", help="whole runs of the presets, timed; only for models with weights")
    options.add_argument("--time", type=int, default=0, metavar="N", help="repeats; only for models with weights")
    options.add_argument("--low-memory", action="store_true", help="as the nodes do when memory runs out")
    options.add_argument("--out", type=Path, help="a JSON file with every number")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    models = SIZES[chosen.size]()
    if chosen.released:
        found: Any = against_released(models, chosen.time)
        print_released(found)
    elif chosen.runs:
        found = runs_table(models, chosen.task, max(1, chosen.time))
        print_runs(found)
    else:
        found = steps_table(models, chosen.task, chosen.time, chosen.low_memory)
        print_steps(found)
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
