"""Run by a test in a process of its own: Align Model on a pretended device beside the CPU.

ComfyUI itself has no such device: it is told that this one is its own and has room, and finds the models made for it there.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from own_process import import_pack, nodes_of
from own_process import report as print_report

families = sys.argv[4:]
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # not as part of `tests`: ComfyUI has a package of that name
from pretended_device import DEVICE, pretended  # noqa: E402

pack = import_pack()
import comfy.model_management as management  # noqa: E402
import native_models  # noqa: E402
import torch  # noqa: E402
from align_bench import Bench, losses, sampled  # noqa: E402

ROOM = 2**40  # bytes


def run(nodes: dict[str, Any], name: str, waits: list[str]) -> tuple[list[float], list[list[str]]]:
    """The losses of a run of the family on the device of the moment, and the waits within each guided step."""
    bench = Bench(nodes)
    family = native_models.FAMILIES[name]()
    for vae in (family.vae, family.audio_vae):
        if vae is not None:
            vae.device = native_models.CPU
    model, alignment = bench.patched(family, bench.targets(name), event_times="0.3")
    moved, steps = alignment._moved, []

    def watched(*inputs: Any) -> torch.Tensor:
        before = len(waits)
        made = moved(*inputs)
        steps.append(waits[before:])
        return made

    alignment._moved = watched
    sampled(family, model)
    return losses(alignment), steps


def room(dev: Any = None, torch_free_too: bool = False, torch_total_too: bool = False) -> Any:
    return (ROOM, ROOM) if torch_free_too or torch_total_too else ROOM


async def main() -> None:
    nodes, report = await nodes_of(pack), {}
    with torch.inference_mode(False):
        expected = {name: run(nodes, name, []) for name in families}
        with pretended() as waits:
            management.get_torch_device = lambda: DEVICE
            management.get_free_memory = management.get_total_memory = room
            native_models.CPU = DEVICE
            for name in families:
                found, steps = run(nodes, name, waits)
                report[name] = {
                    "losses": [found, expected[name][0]],
                    "waits": [wait for step in steps[1:] for wait in step],  # in the first one what stays there is brought
                    "guided steps": len(steps),
                }
    print_report(report)


asyncio.run(main())
