"""Run by a test in a process of its own: what is on the device during a task, and what happens when memory runs out.

Arguments: ComfyUI's folder, the pack's folder, a base folder for models. Reports as JSON.
"""

from __future__ import annotations

import asyncio
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
TOO_MUCH = 2**58  # bytes: no machine has them


async def main() -> None:
    extension = await pack.comfy_entrypoint()
    await extension.on_load()
    nodes = {node.__name__: node for node in await extension.get_node_list()}
    from pack.nodes.managed import retry_on_oom
    from pack.seeing_core.errors import InputError
    from pack.seeing_core.windows import slice_size

    report: dict[str, object] = {"on device": {}}
    with torch.inference_mode():
        audio = nodes["LoadAudioLDM"].execute("pocket (built in)").args[0]
        video = nodes["LoadAnimateDiff"].execute("pocket (built in)", "pocket (built in)").args[0]
        binder = nodes["LoadImageBind"].execute("pocket (built in)").args[0]
        names = {id(patcher.model): tower for tower, patcher in binder.patchers.items()}
        here: list[str] = []

        def on_progress(*_: object, **__: object) -> None:
            here[:] = sorted(names.get(id(loaded.model.model), "") for loaded in management.current_loaded_models)

        comfy.utils.set_progress_bar_global_hook(on_progress)
        picture = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0))
        sound = {"waveform": torch.rand(1, 1, 16000, generator=torch.Generator().manual_seed(0)) - 0.5, "sample_rate": 16000}
        nodes["ImageToAudio"].execute(
            audio_model=audio, binder=binder, image=picture, prompt="a ball", negative_prompt="", steps=3, strength=1.0, seed=0,
            duration=0.5, guidance_scale=2.5, preset="paper")
        report["on device"]["image to audio"] = list(here)
        nodes["AudioToVideo"].execute(
            video_model=video, binder=binder, audio=sound, prompt="a ball", negative_prompt="", steps=3, strength=1.0,
            prompt_strength=0.0, fps=4.0, seed=0, duration=0.5, width=64, height=64, guidance_scale=2.0)
        report["on device"]["audio to video"] = list(here)

        sizes: list[int] = []

        def too_large_at_first() -> str:
            sizes.append(slice_size(8))
            if len(sizes) == 1:
                torch.empty(TOO_MUCH, dtype=torch.uint8)
            return "made"

        report["second attempt"] = [retry_on_oom(too_large_at_first, "duration"), sizes, slice_size(8)]
        report["models after the first"] = len(management.current_loaded_models)
        try:
            retry_on_oom(lambda: torch.empty(TOO_MUCH, dtype=torch.uint8), "width, height or duration")
        except InputError as error:
            report["too large"] = str(error)
        try:
            retry_on_oom(lambda: torch.zeros(2) @ torch.zeros(3), "duration")
        except RuntimeError as error:
            report["another error"] = type(error).__name__
    print("REPORT " + json.dumps(report))


asyncio.run(main())
