"""How the presets were found: ways to align a sound, tried on clips that no test uses.

    python -m tests.benchmarks.search            32 clips each; prints the scoreboard's table

Add a way to WAYS to try it. Presets in seeing_core/settings.py take the winners, and the scoreboard judges them on test
seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from seeing_core.guidance.settings import AlignSettings
from tests.benchmarks.scoreboard import real_features, run, summary, table

SEARCH_SEEDS = 20_000_000
WORDS = AlignSettings(strength=0.0, words=True)
EVENTS = AlignSettings("x0", start_fraction=0.0, end_fraction=0.3, text_weight=0.0, words=True, event_weight=1.0)
SOUND_WAYS: dict[str, AlignSettings] = {
    "vanilla": AlignSettings(strength=0.0),
    "paper": AlignSettings("paper"),
    "words": WORDS,
    "events alone, x0 2, to 30 %": replace(EVENTS, strength=2.0, fit_weight=0.0),
    "events alone, x0 1, 3 inner to 30 %": replace(EVENTS, inner_steps=3, fit_weight=0.0),
    "both, x0 1.5, 3 inner to 30 %": replace(EVENTS, strength=1.5, inner_steps=3, text_weight=0.2),
    "both, x0 2, 2 inner to 30 %": replace(EVENTS, strength=2.0, inner_steps=2, text_weight=0.2),
    "both, x0 2, 4 inner to 30 %": replace(EVENTS, strength=2.0, inner_steps=4, text_weight=0.2),
    "both, x0 1.5, 4 inner to 30 %": replace(EVENTS, strength=1.5, inner_steps=4, text_weight=0.2),
    "both, x0 2, 2 inner to 40 %": replace(EVENTS, strength=2.0, inner_steps=2, end_fraction=0.4, text_weight=0.2),
    "both, x0 1.5, 2 inner to 40 %": replace(EVENTS, strength=1.5, inner_steps=2, end_fraction=0.4, text_weight=0.2),
    "both, x0 1, 3 inner to 40 %": replace(EVENTS, inner_steps=3, end_fraction=0.4, text_weight=0.2),
    "both, x0 2, to 30 %": replace(EVENTS, strength=2.0, text_weight=0.2),
    "both, x0 1, to 70 %": replace(EVENTS, end_fraction=0.7, text_weight=0.2),
    "both, x0 2, again 1, to 30 %": replace(EVENTS, strength=2.0, recurrence=1, text_weight=0.2),
}
FILM_WAYS: dict[str, AlignSettings] = {
    "vanilla": AlignSettings(strength=0.0),
    "paper": AlignSettings("paper", prompt_strength=1.0),
    "words": WORDS,
    "x0 2, 2 inner to 30 %": replace(EVENTS, strength=2.0, inner_steps=2, text_weight=0.2),
    "x0 2, 2 inner to 40 %": replace(EVENTS, strength=2.0, inner_steps=2, end_fraction=0.4, text_weight=0.2),
    "x0 4, to 60 %": replace(EVENTS, strength=4.0, end_fraction=0.6, text_weight=0.2),
    "unet 2, to 60 %": replace(EVENTS, mode="unet", strength=2.0, end_fraction=0.6, text_weight=0.2),
    "unet 2, to 50 %": replace(EVENTS, mode="unet", strength=2.0, end_fraction=0.5, text_weight=0.2),
    "unet 2, to 40 %": replace(EVENTS, mode="unet", strength=2.0, end_fraction=0.4, text_weight=0.2),
    "unet 3, to 40 %": replace(EVENTS, mode="unet", strength=3.0, end_fraction=0.4, text_weight=0.2),
    "unet 3, every 2nd to 60 %": replace(EVENTS, mode="unet", strength=3.0, end_fraction=0.6, every=2, text_weight=0.2),
    "unet 2, to 50 %, CFG too": replace(EVENTS, mode="unet", strength=2.0, end_fraction=0.5, text_weight=0.2,
                                        cfg_end_fraction=0.5),
    "unet 4, every 2nd to 80 %": replace(EVENTS, mode="unet", strength=4.0, end_fraction=0.8, every=2, text_weight=0.2),
    "unet 3, to 60 %": replace(EVENTS, mode="unet", strength=3.0, end_fraction=0.6, text_weight=0.2),
    "unet 2, to the end": replace(EVENTS, mode="unet", strength=2.0, end_fraction=1.0, text_weight=0.2),
    "unet 4, to 60 %, binder off": replace(EVENTS, mode="unet", strength=4.0, end_fraction=0.6, fit_weight=0.0),
}
WAYS = {"v2a": SOUND_WAYS, "i2a": SOUND_WAYS, "a2v": FILM_WAYS, "joint": FILM_WAYS}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", choices=list(WAYS), default="v2a")
    options.add_argument("--clips", type=int, default=32)
    options.add_argument("--way", nargs="+", help="by default all of the task")
    chosen = options.parse_args()
    real = real_features(chosen.task, 64, SEARCH_SEEDS)
    ways = WAYS[chosen.task]
    for number, way in enumerate(chosen.way or ways):
        rows = run(chosen.task, {way: ways[way]}, clips=chosen.clips, first_seed=SEARCH_SEEDS)
        lines = table(chosen.task, [summary(rows, way, real)]).splitlines()
        print("\n".join(lines[2 if number else 0 :]), flush=True)


if __name__ == "__main__":
    main()
