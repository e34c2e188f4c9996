"""How the presets were found: settings tried on clips that no test uses.

    python -m tests.benchmarks.search            32 clips each; prints the scoreboard's table

Add settings to WAYS to try them. Presets in seeing_core/guidance/settings.py take the winners, and the scoreboard judges them on
test seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from seeing_core.guidance.settings import UNGUIDED, AlignSettings
from tests.benchmarks.scoreboard import real_features, run, summary, table

SEARCH_SEEDS = 20_000_000
WORDS = replace(UNGUIDED, complete_prompt=True)
EVENTS = AlignSettings("x0", start_fraction=0.0, end_fraction=0.3, text_weight=0.0, complete_prompt=True, sync_weight=1.0)
AUDIO_WAYS: dict[str, AlignSettings] = {
    "unguided": UNGUIDED,
    "paper": AlignSettings("paper"),
    "words": WORDS,
    "events alone, x0 2, to 30 %": replace(EVENTS, strength=2.0, binder_weight=0.0),
    "events alone, x0 1, 3 inner to 30 %": replace(EVENTS, inner_steps=3, binder_weight=0.0),
    "both, x0 1.5, 3 inner to 30 %": replace(EVENTS, strength=1.5, inner_steps=3, text_weight=0.2),
    "both, x0 2, 2 inner to 30 %": replace(EVENTS, strength=2.0, inner_steps=2, text_weight=0.2),
    "both, x0 2, 4 inner to 30 %": replace(EVENTS, strength=2.0, inner_steps=4, text_weight=0.2),
    "both, x0 1.5, 4 inner to 30 %": replace(EVENTS, strength=1.5, inner_steps=4, text_weight=0.2),
    "both, x0 2, 2 inner to 40 %": replace(EVENTS, strength=2.0, inner_steps=2, end_fraction=0.4, text_weight=0.2),
    "both, x0 1.5, 2 inner to 40 %": replace(EVENTS, strength=1.5, inner_steps=2, end_fraction=0.4, text_weight=0.2),
    "both, x0 1, 3 inner to 40 %": replace(EVENTS, inner_steps=3, end_fraction=0.4, text_weight=0.2),
    "both, x0 2, to 30 %": replace(EVENTS, strength=2.0, text_weight=0.2),
    "both, x0 1, to 70 %": replace(EVENTS, end_fraction=0.7, text_weight=0.2),
}
VIDEO_WAYS: dict[str, AlignSettings] = {
    "unguided": UNGUIDED,
    "paper": AlignSettings("paper", prompt_strength=1.0),
    "words": WORDS,
    "x0 2, 2 inner to 30 %": replace(EVENTS, strength=2.0, inner_steps=2, text_weight=0.2),
    "x0 2, 2 inner to 40 %": replace(EVENTS, strength=2.0, inner_steps=2, end_fraction=0.4, text_weight=0.2),
    "x0 4, to 60 %": replace(EVENTS, strength=4.0, end_fraction=0.6, text_weight=0.2),
    "unet 2, to 60 %": replace(EVENTS, mode="unet", strength=2.0, end_fraction=0.6, text_weight=0.2),
    "unet 2, to 50 %": replace(EVENTS, mode="unet", strength=2.0, end_fraction=0.5, text_weight=0.2),
    "unet 2, to 40 %": replace(EVENTS, mode="unet", strength=2.0, end_fraction=0.4, text_weight=0.2),
    "unet 3, to 40 %": replace(EVENTS, mode="unet", strength=3.0, end_fraction=0.4, text_weight=0.2),
    "unet 3, every 2nd to 60 %": replace(EVENTS, mode="unet", strength=3.0, end_fraction=0.6, guide_every=2, text_weight=0.2),
    "unet 2, to 50 %, CFG too": replace(
        EVENTS, mode="unet", strength=2.0, end_fraction=0.5, text_weight=0.2, cfg_end_fraction=0.5
    ),
    "unet 4, every 2nd to 80 %": replace(EVENTS, mode="unet", strength=4.0, end_fraction=0.8, guide_every=2, text_weight=0.2),
    "unet 3, to 60 %": replace(EVENTS, mode="unet", strength=3.0, end_fraction=0.6, text_weight=0.2),
    "unet 2, to the end": replace(EVENTS, mode="unet", strength=2.0, end_fraction=1.0, text_weight=0.2),
    "unet 4, to 60 %, binder off": replace(EVENTS, mode="unet", strength=4.0, end_fraction=0.6, binder_weight=0.0),
}
WAYS = {"v2a": AUDIO_WAYS, "i2a": AUDIO_WAYS, "a2v": VIDEO_WAYS, "joint": VIDEO_WAYS}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", choices=list(WAYS), default="v2a")
    options.add_argument("--clips", type=int, default=32)
    options.add_argument("--settings", nargs="+", help="by default all of the task")
    chosen = options.parse_args()
    real = real_features(chosen.task, 64, SEARCH_SEEDS)
    ways = WAYS[chosen.task]
    for number, way in enumerate(chosen.settings or ways):
        rows = run(chosen.task, {way: ways[way]}, clips=chosen.clips, first_seed=SEARCH_SEEDS)
        lines = table(chosen.task, [summary(rows, way, real)]).splitlines()
        print("\n".join(lines[2 if number else 0 :]), flush=True)


if __name__ == "__main__":
    main()
