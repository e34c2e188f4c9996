"""What a card does: seconds, memory, agreement with the CPU and what half precision loses, at real size with random weights.

    python -m tests.benchmarks.gpu --out results.json                              on a card; at most 9 minutes
    python -m tests.benchmarks.gpu --device cpu --size stand-in --out results.json  the same with small models, to try the script

Needs nothing but this repository, its requirements and a card (one part also ComfyUI, where setup.sh or COMFYUI_PATH puts it):
AudioLDM-m, Stable Diffusion 1.5 with the v1.5-2 motion adapter and imagebind_huge are made on the card. Parts come in the order of their use; the file is written after each, and what no time was left
for is listed in it. Seconds are medians of three runs after one to warm up, with drafts, without the final decoding.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from scripts.comfy_server import COMFYUI, ROOT
from seeing_core.guidance.settings import AlignSettings
from tests.benchmarks import sizes
from tests.benchmarks.cost import same_work
from tests.benchmarks.scenes import PRESETS, STEPS, Scene, scene
from tests.server.own_process import run_script

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16}
SHOWN = ("balanced", "paper", "quality", "fast")
SECONDS = {"v2a": 8.0, "i2a": 5.0, "a2v": 2.0, "joint": 2.0}
REPEATS = 3


@dataclass
class Bench:
    """size: "real" or "stand-in".  found: what was measured, by part; saved after each."""

    device: torch.device
    size: str
    out: Path
    ends: float
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def on_card(self) -> bool:
        return self.device.type == "cuda"

    def models(self, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> sizes.Models:
        self.clear()
        if self.size == "real":
            return sizes.real_on(device or self.device, dtype)
        small = sizes.stand_in()
        small.audio.unet.to(dtype), small.video.to(dtype), small.binder.to(dtype)
        return sizes.Models(*(model.to(device or self.device) for model in small))

    def scene(self, task: str, models: sizes.Models, settings: AlignSettings, **options: Any) -> Scene:
        side = 512 if self.size == "real" else models.video.native_side
        frames = 16 if self.size == "real" else 8
        return scene(task, models, settings, **{"duration_s": SECONDS[task], "side": side, "frames": frames} | options)

    def steps(self, task: str) -> int:
        return STEPS[task] if self.size == "real" else 3

    def clear(self) -> None:
        gc.collect()
        if self.on_card:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def wait(self) -> None:
        if self.on_card:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        """Of one call, the device's work included."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started

    def measured(self, work: Callable[[], Any]) -> dict[str, float]:
        """Median seconds, and the most bytes on the card."""
        self.clear()
        work()
        row = {"seconds": statistics.median(self.seconds(work) for _ in range(REPEATS))}
        return row | ({"peak_bytes": torch.cuda.max_memory_allocated()} if self.on_card else {})

    def save(self) -> None:
        self.out.write_text(json.dumps(self.found, indent=1) + "\n")


def runs(bench: Bench, precision: str) -> dict[str, Any]:
    """Every task and preset in one precision."""
    models, rows = bench.models(DTYPES[precision]), {}
    for task in STEPS:
        for preset in SHOWN:
            if time.monotonic() > bench.ends:
                return rows | {"cut short": f"before {task} {preset}"}
            settings = PRESETS[task][preset]
            one = bench.scene(task, models, settings)
            rows[f"{task} {preset}"] = bench.measured(lambda one=one, own=settings, task=task: one.run(own, bench.steps(task)))
            print(precision, task, preset, rows[f"{task} {preset}"], flush=True)
    return rows


def released(bench: Bench) -> dict[str, Any]:
    """The paper's released loop on the same weights, video, words and noise, beside ours by the same rule, whole runs in fp32."""
    ours, theirs = same_work(bench.models(), duration_s=SECONDS["v2a"], steps=bench.steps("v2a"))
    rows = {"ours": bench.measured(ours), "released": bench.measured(theirs)}
    return rows | {"times_faster": rows["released"]["seconds"] / rows["ours"]["seconds"]}


def profile(bench: Bench) -> dict[str, Any]:
    """One guided step of sounds and of videos: forward passes by part, the costliest operators, copies and waits."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    models, found = bench.models(torch.bfloat16), {}
    for task in ("v2a", "a2v"):
        settings = PRESETS[task]["balanced"]
        one = bench.scene(task, models, settings)
        one.step(settings)
        with forward_seconds(one, bench) as parts:
            whole = bench.seconds(lambda one=one, own=settings: one.step(own))
        with profiled(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.on_card else [])]) as record:
            one.step(settings)
            bench.wait()
        events = record.key_averages()
        key = "self_device_time_total" if bench.on_card else "self_cpu_time_total"
        costly = sorted(events, key=lambda event: getattr(event, key), reverse=True)[:15]
        waits = {event.key: event.count for event in events if "Synchronize" in event.key or "memcpy" in event.key.lower()}
        found[task] = {
            "step_seconds": whole,
            "forward_seconds": dict(parts),
            "operators_ms": {event.key: getattr(event, key) / 1000 for event in costly},
            "waits_and_copies": waits,
        }
    return found


@contextmanager
def forward_seconds(one: Scene, bench: Bench) -> Iterator[dict[str, float]]:
    """Seconds in the forward passes of each part. It waits for the device at each, so the whole is slower than it would be."""
    taken: dict[str, float] = {}
    started: list[float] = []
    hooks = []

    def before(*_: Any) -> None:
        bench.wait()
        started.append(time.perf_counter())

    for name, modules in one.parts.items():

        def after(*_: Any, name: str = name) -> None:
            bench.wait()
            taken[name] = taken.get(name, 0.0) + time.perf_counter() - started.pop()

        for inner in (inner for module in modules for inner in entrances(module)):
            hooks += [inner.register_forward_pre_hook(before), inner.register_forward_hook(after)]
    try:
        yield taken
    finally:
        for hook in hooks:
            hook.remove()


def entrances(module: nn.Module) -> list[nn.Module]:
    """What is called of a part: its decoder, its towers, or itself."""
    inner = [getattr(module, name, None) for name in ("decoder", "towers")]
    return [one for one in inner if isinstance(one, nn.Module)] or [module]


def accounting(bench: Bench) -> dict[str, Any]:
    """The bytes that the cost model counts for a guided step, beside those that the card took on top of the weights."""
    models, rows = bench.models(), {}
    for task in ("v2a", "a2v", "joint"):
        for low_memory in (False, True):
            settings = PRESETS[task]["balanced"]
            one = bench.scene(task, models, settings, low_memory=low_memory)
            one.step(settings)
            counted = one.cost(settings).peak
            bench.clear()
            before = torch.cuda.memory_allocated() if bench.on_card else 0
            one.step(settings)
            taken = torch.cuda.max_memory_allocated() - before if bench.on_card else None
            rows[f"{task}{', low memory' if low_memory else ''}"] = {"counted": counted, "taken": taken}
    return rows


def agreement(bench: Bench) -> dict[str, Any]:
    """The largest relative difference of the latents after five steps in fp32, guided by the paper's rule, from the CPU's."""
    found = {}
    cpu, card = (bench.models(device=torch.device("cpu")), bench.models())
    for mine, theirs in zip(card, cpu, strict=True):
        mine.load_state_dict(theirs.state_dict())
    for task in ("v2a", "a2v"):
        settings = replace(PRESETS[task]["paper"], prompt_strength=0.0)
        small = {"duration_s": 1.0} if task == "v2a" else {"frames": 4, "side": 64}
        ends = [latents_after(bench.scene(task, models, settings, **small), settings, 5) for models in (cpu, card)]
        found[task] = float((ends[0] - ends[1].cpu()).abs().max() / ends[0].abs().max())
    return found


def latents_after(one: Scene, settings: AlignSettings, steps: int) -> Tensor:
    from seeing_core.guidance.loop import sample

    return sample(one.generators, one.loss, settings, seeds=[0], steps=steps)[0]


def vanished(bench: Bench) -> dict[str, Any]:
    """The share of zeros among the gradients of the loss at a sound's and a video's x0, by precision.

    What is above the share in fp32 has vanished; below it is what the loss does not look at, such as frames between clips.
    """
    found = {}
    for precision, dtype in DTYPES.items():
        models = bench.models(dtype)
        for task in ("v2a", "a2v"):
            one = bench.scene(task, models, PRESETS[task]["paper"])
            [generator] = one.generators
            [gradient] = one.loss([generator.initial_noise([0])]).gradients
            found[f"{task} {precision}"] = float((gradient == 0).double().mean())
    return found


def compiled(bench: Bench) -> dict[str, Any]:
    """The UNets compiled: seconds of a run, and of the first one, which compiles."""
    models, rows = bench.models(torch.bfloat16), {}
    for task, model in (("v2a", models.audio), ("a2v", models.video)):
        settings = PRESETS[task]["balanced"]
        one = bench.scene(task, models, settings)
        plain = bench.measured(lambda one=one, own=settings, task=task: one.run(own, bench.steps(task)))
        model.unet.compile()
        first = bench.seconds(lambda one=one, own=settings, task=task: one.run(own, bench.steps(task)))
        rows[task] = {
            "plain": plain,
            "compiled": bench.measured(lambda one=one, own=settings, task=task: one.run(own, bench.steps(task))),
        }
        rows[task]["first_seconds"] = first
    return rows


def out_of_memory(bench: Bench) -> dict[str, Any]:
    """A guided step where memory for the usual way is missing, and then in the way that needs less."""
    if not bench.on_card:
        return {"skipped": "needs a card, whose memory can be limited"}
    models, found = bench.models(), {}
    total = torch.cuda.get_device_properties(bench.device).total_memory
    for task in ("v2a", "a2v"):
        settings = PRESETS[task]["balanced"]
        usual, sparing = (bench.scene(task, models, settings, low_memory=low) for low in (False, True))
        peaks = []
        for one in (usual, sparing):
            bench.clear()
            one.step(settings)
            peaks.append(torch.cuda.max_memory_reserved())
        bench.clear()
        torch.cuda.set_per_process_memory_fraction((peaks[0] + peaks[1]) / 2 / total)
        try:
            usual.step(settings)
            failed = False
        except torch.OutOfMemoryError:
            failed = True
        bench.clear()
        try:
            sparing.step(settings)
            finished = True
        except torch.OutOfMemoryError:
            finished = False
        torch.cuda.set_per_process_memory_fraction(1.0)
        found[task] = {"peaks": peaks, "usual way failed": failed, "sparing way finished": finished}
    return found


def management(bench: Bench) -> dict[str, Any]:
    """The nodes with the pocket models under ComfyUI's memory manager, as it is by default and told that memory is short."""
    if not (COMFYUI / "main.py").exists():
        return {"skipped": f"no ComfyUI in {COMFYUI}"}
    modes = {"default": [], "low memory": ["--lowvram"], "none": ["--novram"]} if bench.on_card else {"default": []}
    found = {}
    for mode, options in modes.items():
        with TemporaryDirectory() as base:
            words = ["card" if bench.on_card else "cpu", *options]
            found[mode] = run_script("managed.py", COMFYUI, ROOT, Path(base), *words, timeout=120)
    first = found["default"]["run"]["values"]
    for report in found.values():
        rows = [report[name] for name in ("run", "again", "memory taken by someone else", "after that") if name in report]
        report["largest difference"] = max(abs(a - b) for row in rows for a, b in zip(row.pop("values"), first, strict=True))
    return found


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "runs bf16": lambda bench: runs(bench, "bf16"),
    "released": released,
    "profile": profile,
    "agreement with the CPU": agreement,
    "vanished gradients": vanished,
    "out of memory": out_of_memory,
    "accounting": accounting,
    "management": management,
    "runs fp32": lambda bench: runs(bench, "fp32"),
    "runs fp16": lambda bench: runs(bench, "fp16"),
    "compiled": compiled,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="cuda")
    options.add_argument("--size", choices=("real", "stand-in"), default="real")
    options.add_argument("--minutes", type=float, default=9.0, help="no part begins later than this")
    options.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    options.add_argument("--out", type=Path, required=True)
    chosen = options.parse_args()
    bench = Bench(torch.device(chosen.device), chosen.size, chosen.out, time.monotonic() + 60 * chosen.minutes)
    name = torch.cuda.get_device_name() if bench.on_card else platform.processor() or platform.machine()
    bench.found = {"device": name, "torch": torch.__version__, "size": chosen.size, "no time for": list(chosen.part)}
    bench.save()
    for part in chosen.part:
        if time.monotonic() > bench.ends:
            break
        try:
            bench.found[part] = PARTS[part](bench)
        except Exception as error:  # what else can be measured still is
            bench.found[part] = {"failed": f"{type(error).__name__}: {error}"}
            if bench.on_card:
                torch.cuda.set_per_process_memory_fraction(1.0)
        bench.found["no time for"].remove(part)
        bench.save()
        print(part, json.dumps(bench.found[part]), flush=True)


if __name__ == "__main__":
    main()
