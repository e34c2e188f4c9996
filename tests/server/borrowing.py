"""Run by a test in a process of its own: captions with the real nodes, and what was in memory when."""

from __future__ import annotations

import asyncio
import gc

from own_process import import_pack, nodes_of
from own_process import report as print_report

pack = import_pack()
import comfy.model_management as management  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402


def alive() -> dict[str, int]:
    """Captioners in memory, without collecting garbage first, and models in ComfyUI's care."""
    networks = sum(
        1
        for thing in gc.get_objects()
        if type(thing).__name__.endswith("ForConditionalGeneration") and isinstance(thing, torch.nn.Module)
    )
    return {"networks": networks, "managed": len(management.current_loaded_models)}


async def main() -> None:
    nodes = await nodes_of(pack)
    report: dict[str, object] = {}
    during: list[dict[str, int]] = []

    def on_progress(value: float, total: float, preview: object, **_: object) -> None:
        if len(during) < 1:
            during.append(alive())
        if report.get("cancel"):
            management.interrupt_current_processing(True)

    comfy.utils.set_progress_bar_global_hook(on_progress)
    picture = torch.rand(1, 40, 60, 3, generator=torch.Generator().manual_seed(0))
    sound = {"waveform": torch.rand(1, 1, 16000, generator=torch.Generator().manual_seed(0)) - 0.5, "sample_rate": 16000}
    image = {"model": "Qwen2-VL-2B-Instruct", "prompt": "", "pictures": "each", "max_tokens": 8, "trust_remote_code": False}
    with torch.inference_mode():
        report["caption"] = nodes["CaptionImage"].execute(picture, **image).args[0]
        report["during"], report["after"] = during[0], alive()
        during.clear()
        report["heard"] = nodes["CaptionAudio"].execute(sound, "Qwen/Qwen2-Audio-7B-Instruct", "", 8).args[0]
        report["during audio"], report["after audio"] = during[0], alive()
        cached = image | {"model": "Salesforce/blip-image-captioning-base"}
        report["from the cache"] = nodes["CaptionImage"].execute(picture, **cached).args[0]
        report["cancel"] = True
        try:
            nodes["CaptionImage"].execute(picture, **image)
        except management.InterruptProcessingException as cancelled:
            report["cancel"] = type(cancelled).__name__
    gc.collect()
    report["after cancel"] = alive()
    print_report(report)


asyncio.run(main())
