"""Run by a test in a process of its own: captions with the real nodes, and reports as JSON what was in memory when.

Arguments: ComfyUI's folder, the pack's folder, a base folder that holds models/LLM.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import sys
from pathlib import Path

COMFYUI, PACK, BASE = sys.argv[1:4]
sys.path.insert(0, COMFYUI)
sys.argv = ["main.py", "--cpu", "--base-directory", BASE]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.model_management as management  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402

spec = importlib.util.spec_from_file_location("pack", str(Path(PACK) / "__init__.py"), submodule_search_locations=[PACK])
pack = importlib.util.module_from_spec(spec)
sys.modules["pack"] = pack
spec.loader.exec_module(pack)


def alive() -> dict[str, int]:
    """Captioners in memory, without collecting garbage first, and models in ComfyUI's care."""
    networks = sum(1 for thing in gc.get_objects() if type(thing).__name__.endswith("ForConditionalGeneration")
                   and isinstance(thing, torch.nn.Module))
    return {"networks": networks, "managed": len(management.current_loaded_models)}


async def main() -> None:
    extension = await pack.comfy_entrypoint()
    await extension.on_load()
    nodes = {node.__name__: node for node in await extension.get_node_list()}
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
    print("REPORT " + json.dumps(report))


asyncio.run(main())
