"""Do both binders like what one of them has guided? A binder that likes its own work proves nothing; the other has not seen it before.

    python -m tests.benchmarks.scoreboard --task v2a a2v --preset unguided balanced --binder pe_av --out FILE
    python -m tests.benchmarks.agreement FILE ...

Compares each clip's guided result with its unguided one, as both binders score them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seeing_core.metrics.interval import mean_interval

SCORES = {"imagebind": "fit", "pe_av": "fit_pe_av"}
NAMES = {"imagebind": "ImageBind", "pe_av": "PE-AV"}


def gains(rows: Sequence[dict[str, Any]], guided: str, binder: str) -> dict[int, float]:
    """How much better the guided result fits than the unguided one to this binder, by the clip's seed."""
    by_preset = {
        preset: {row["seed"]: row[SCORES[binder]] for row in rows if row["preset"] == preset} for preset in ("unguided", guided)
    }
    return {seed: fit - by_preset["unguided"][seed] for seed, fit in by_preset[guided].items()}


def report(task: str, found: dict[str, Any], guided: str) -> str:
    """One row of the table, and below it the clips in which the guiding binder likes what the other does not."""
    own = found["binder"]
    [other] = set(SCORES) - {own}
    ours, theirs = gains(found["rows"], guided, own), gains(found["rows"], guided, other)
    agree = mean_interval([float((ours[seed] > 0) == (theirs[seed] > 0)) for seed in ours])
    alone = [seed for seed in ours if ours[seed] > 0 >= theirs[seed]]
    liked, liked_too = (sum(gain > 0 for gain in one.values()) / len(one) for one in (ours, theirs))
    row = f"| {task} | {NAMES[own]} | {liked:.0%} | {liked_too:.0%} | {agree.mean:.0%} ({agree.low:.0%} to {agree.high:.0%}) |"
    return f"{row} {len(alone)} |\n" + "".join(
        f"  seed {seed}: {NAMES[own]} {ours[seed]:+.2f}, {NAMES[other]} {theirs[seed]:+.2f}\n" for seed in alone
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("files", nargs="+", type=Path, help="what the scoreboard wrote with --out")
    options.add_argument("--guided", default="balanced", help="the preset that is compared with unguided results")
    chosen = options.parse_args()
    print("| task | guided by | better, says that one | better, says the other | they agree | liked by the first alone |")
    print("|---|---|---|---|---|---|")
    for path in chosen.files:
        for task, found in json.loads(path.read_text(encoding="utf-8")).items():
            print(report(task, found, chosen.guided), end="")


if __name__ == "__main__":
    main()
