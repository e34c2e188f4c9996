"""Align Model against the pack's own loop: the same pocket AudioLDM, settings and clips, through ComfyUI's samplers.

    python -m tests.benchmarks.native [--clips 32] [--sampler euler] [--strength 1] [--end 0.3] [--out FILE]

Rows: "loop" (`seeing_core.guidance.loop`), "patch" (KSampler's code with Align Model), and both unguided. Nothing else differs: no drafts,
no completed prompts. --cost: the share of a guided step that is neither decoding, the binder nor their gradients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from scripts.comfy_server import COMFYUI, ROOT
from tests.server.own_process import import_pack, nodes_of


def pack_nodes(base: str) -> dict[str, Any]:
    """The pack's nodes by class name, with ComfyUI's modules beside it in this process.  base: a folder for ComfyUI."""
    sys.argv = ["main.py", str(COMFYUI), str(ROOT), base]
    return asyncio.run(nodes_of(import_pack()))


def patched_rows(nodes: dict[str, Any], seeds: Sequence[int], options: argparse.Namespace, *, strength: float) -> list[Any]:
    """Sound for clips of the world, each by itself, through ComfyUI's sampler."""
    import comfy.sample
    import comfy.samplers

    from tests.benchmarks.scoreboard import CAPTIONS, DURATION_S, RATE_HZ, judged
    from tests.pocket.world import make_clip

    rows = []
    with torch.inference_mode():
        _, model, clip_model, vae = nodes["LoadAudioLDM"].execute("pocket (built in)").args
        binder = nodes["LoadImageBind"].execute("pocket (built in)").args[0]
        align = nodes["AlignModel"].PREPARE_CLASS_CLONE(None)
        negative = clip_model.encode_from_tokens_scheduled("")
        for seed in seeds:
            clip = make_clip(seed, DURATION_S)
            frames = clip.frames.movedim(1, -1)
            positive = clip_model.encode_from_tokens_scheduled(CAPTIONS[options.caption](clip))
            target = nodes["AlignTargetNode"].execute("", 1.0, media=_video(frames, clip.fps)).args[0]
            started = time.process_time()
            guided, _ = align.execute(
                model=model,
                vae=vae,
                binder=binder,
                targets=target,
                strength=strength,
                start_fraction=0.0,
                end_fraction=options.end,
                inner_steps=1,
                guide_every=1,
                sync_weight=1.0,
                clips=0,
                fps=clip.fps,
                frames_in_batch=False,
            ).args
            latent = nodes["EmptyAudioLatentForVideo"].execute(frames, vae, 1, clip.fps).args[0]["samples"]
            noise = comfy.sample.prepare_noise(latent, seed)
            made = comfy.sample.sample(
                guided,
                noise,
                options.steps,
                2.5,
                options.sampler,
                options.scheduler,
                positive,
                negative,
                latent,
                seed=seed,
                disable_pbar=True,
            )
            samples = vae.decode(made)[0, : round(DURATION_S * RATE_HZ), 0]
            seconds = time.process_time() - started
            with torch.inference_mode(False):
                rows.append(judged("v2a", "", clip, clip.frames, samples.clone(), seconds))
    return rows


def _video(frames: torch.Tensor, fps: float) -> Any:
    from fractions import Fraction

    from comfy_api.latest import InputImpl, Types

    return InputImpl.VideoFromComponents(Types.VideoComponents(images=frames, frame_rate=Fraction(fps)))


def loop_rows(seeds: Sequence[int], options: argparse.Namespace, settings: Any) -> list[Any]:
    from tests.benchmarks.scoreboard import Case, measure

    return [
        row for seed in seeds for row in measure((Case("v2a", "", settings, options.caption, False, options.steps), [seed]))
    ]


def patch_cost(nodes: dict[str, Any], options: argparse.Namespace) -> float:
    """The share of the time that guided steps add that is spent outside of the loss, over one run."""
    from pack.nodes.native.patch import Alignment
    from pack.seeing_core.guidance.losses import WeightedLoss

    spent = {"guided": 0.0, "loss": 0.0}

    def timed(owner: type, name: str, key: str) -> None:
        inner = getattr(owner, name)

        def wrapped(*inputs: Any) -> Any:
            started = time.process_time()
            try:
                return inner(*inputs)
            finally:
                spent[key] += time.process_time() - started

        setattr(owner, name, wrapped)

    patched_rows(nodes, [20_000_000], options, strength=options.strength)  # warm
    timed(Alignment, "_guided", "guided")
    timed(WeightedLoss, "__call__", "loss")
    patched_rows(nodes, [20_000_000], options, strength=options.strength)
    return 1 - spent["loss"] / spent["guided"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--caption", default="vague")
    parser.add_argument("--sampler", default="euler")
    parser.add_argument("--scheduler", default="ddim_uniform")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--end", type=float, default=0.5)
    parser.add_argument("--first-seed", type=int, default=None)
    parser.add_argument("--rows", nargs="+", default=["unguided loop", "unguided patch", "loop", "patch"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    nodes = pack_nodes(tempfile.mkdtemp())
    from seeing_core.guidance.settings import NATIVE, UNGUIDED
    from tests.benchmarks.scoreboard import real_features, summary
    from tests.pocket.world import TEST_SEEDS

    if options.cost:
        print(f"{patch_cost(nodes, options):.1%} of what guided steps add is spent outside of the loss")
        return
    first = TEST_SEEDS if options.first_seed is None else options.first_seed
    seeds = range(first, first + options.clips)
    ours = replace(NATIVE, strength=NATIVE.strength * options.strength, end_fraction=options.end, text_weight=0.0)
    real = real_features("v2a", 64, first)
    made = {
        "unguided loop": lambda: loop_rows(seeds, options, UNGUIDED),
        "loop": lambda: loop_rows(seeds, options, ours),
        "unguided patch": lambda: patched_rows(nodes, seeds, options, strength=0.0),
        "patch": lambda: patched_rows(nodes, seeds, options, strength=options.strength),
    }
    found = []
    print("| | right | 95 % | distance | events | AV-Align | fit | seconds |\n|---|---|---|---|---|---|---|---|")
    for name in options.rows:
        s = summary(made[name](), "", real) | {"preset": name}
        found.append(s)
        print(
            f"| {name} | {s['right']:.0%} | {s['right_low']:.0%} to {s['right_high']:.0%} | {s['distance']:.2f} | "
            f"{1000 * s['event_error_s']:.0f} ms | {s['av_align']:.2f} | {s['fit']:.2f} | {s['seconds']:.1f} |",
            flush=True,
        )
    if options.out:
        options.out.write_text(
            json.dumps({"options": vars(options) | {"out": ""}, "summaries": found}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
