"""How the presets were found: ways to align a sound, tried on clips that no test uses.

    python -m tests.benchmarks.search            32 clips each; prints the scoreboard's table

Add a way to WAYS to try it. Presets in seeing_core/settings.py take the winners, and the scoreboard judges them on test
seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from seeing_core.settings import AlignSettings
from tests.benchmarks.scoreboard import real_features, run, summary, table

SEARCH_SEEDS = 20_000_000
PROMPT = AlignSettings(strength=0.0, prompt_strength=1.0, start_fraction=0.0, text_weight=0.0)
BOTH = replace(PROMPT, mode="x0", strength=0.5)
WAYS: dict[str, AlignSettings] = {
    "vanilla": AlignSettings(strength=0.0),
    "paper": AlignSettings("paper"),
    "paper, no text": AlignSettings("paper", text_weight=0.0),
    "unet": AlignSettings("unet", start_fraction=0.0, end_fraction=0.7, text_weight=0.0),
    "prompt": PROMPT,
    "prompt, 4 inner to 40 %": replace(PROMPT, inner_steps=4, end_fraction=0.4),
    "prompt + x0 1, to 70 %": replace(BOTH, strength=1.0, end_fraction=0.7),
    "prompt + x0 .5, 2 inner to 50 %": replace(BOTH, inner_steps=2, end_fraction=0.5),
    "prompt + x0 .5, 4 inner to 30 %": replace(BOTH, inner_steps=4, end_fraction=0.3),
    "the same, text .2": replace(BOTH, inner_steps=4, end_fraction=0.3, text_weight=0.2),
    "the same, text 1": replace(BOTH, inner_steps=4, end_fraction=0.3, text_weight=1.0),
    "prompt 2 + x0 .5, 4 inner to 30 %": replace(BOTH, prompt_strength=2.0, inner_steps=4, end_fraction=0.3),
    "prompt + x0 1, 4 inner to 40 %": replace(BOTH, strength=1.0, inner_steps=4, end_fraction=0.4),
    "prompt + x0 .5, 8 inner to 20 %": replace(BOTH, inner_steps=8, end_fraction=0.2),
    "prompt + unet 1, 4 inner to 30 %": replace(BOTH, mode="unet", strength=1.0, inner_steps=4, end_fraction=0.3),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--task", choices=("v2a", "i2a"), default="v2a")
    options.add_argument("--clips", type=int, default=32)
    options.add_argument("--way", nargs="+", choices=WAYS, default=list(WAYS))
    chosen = options.parse_args()
    real = real_features(chosen.task, 64, SEARCH_SEEDS)
    for number, way in enumerate(chosen.way):
        rows = run(chosen.task, {way: WAYS[way]}, clips=chosen.clips, first_seed=SEARCH_SEEDS)
        lines = table(chosen.task, [summary(rows, way, real)]).splitlines()
        print("\n".join(lines[2 if number else 0 :]), flush=True)


if __name__ == "__main__":
    main()
