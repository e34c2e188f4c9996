"""How the presets were found: settings tried on clips that no test uses.

    python -m tests.benchmarks.search --task v2a --caption vague --unnamed          32 clips each; prints the scoreboard's table

Add settings to WAYS to try them. Presets in seeing_core/guidance/settings.py take the winners, and the scoreboard judges them on
test seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from seeing_core.guidance.settings import AUDIO_PRESETS, JOINT_PRESETS, UNGUIDED, VIDEO_PRESETS, AlignSettings
from tests.benchmarks.scoreboard import CAPTIONS, real_features, run, summary, table

SEARCH_SEEDS = 20_000_000
WORDS = replace(UNGUIDED, complete_prompt="when empty")


def ways(presets: dict[str, AlignSettings]) -> dict[str, AlignSettings]:
    """The presets, and what was tried beside them."""
    ours = presets["balanced"]
    return {
        "unguided": UNGUIDED,
        "words": WORDS,
        **presets,
        **{f"drafts {count}": replace(ours, drafts=count) for count in (1, 4, 6, 8, 12, 16, 32)},
        "noise alone from the draft": replace(ours, draft_fraction=0.0),
        "classifier-free guidance from the start": replace(ours, cfg_start_fraction=0.0),
        "none of it for a third": replace(ours, cfg_start_fraction=0.3),
        "guided after the choice": replace(ours, strength=4.0, guide_every=2, drafts=28, draft_fraction=0.0),
        "two inner steps": replace(ours, inner_steps=2),
        "strength 2": replace(ours, strength=2.0),
    }


WAYS = {task: ways(presets) for task, presets in (("v2a", AUDIO_PRESETS), ("i2a", AUDIO_PRESETS), ("a2v", VIDEO_PRESETS))}
WAYS["joint"] = ways(JOINT_PRESETS)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", choices=list(WAYS), default="v2a")
    options.add_argument("--clips", type=int, default=32)
    options.add_argument("--caption", choices=CAPTIONS, default="vague")
    options.add_argument("--unnamed", action="store_true", help="without the phrases that name the clip's own kind")
    options.add_argument("--settings", nargs="+", help="by default all of the task")
    chosen = options.parse_args()
    real = real_features(chosen.task, 64, SEARCH_SEEDS)
    tried = WAYS[chosen.task]
    for number, way in enumerate(chosen.settings or tried):
        rows = run(
            chosen.task,
            {way: tried[way]},
            clips=chosen.clips,
            caption=chosen.caption,
            unnamed=chosen.unnamed,
            first_seed=SEARCH_SEEDS,
        )
        lines = table(chosen.task, [summary(rows, way, real)]).splitlines()
        print("\n".join(lines[2 if number else 0 :]), flush=True)


if __name__ == "__main__":
    main()
