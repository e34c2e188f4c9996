"""Run by a test in a process of its own: what is on the device during a task, and when memory runs out for good."""

from __future__ import annotations

import asyncio

from own_process import TOO_MUCH, import_pack, nodes_of
from own_process import report as print_report

pack = import_pack()
import comfy.model_management as management  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402


async def main() -> None:
    nodes = await nodes_of(pack)
    from pack.nodes.comfy import memory
    from pack.nodes.comfy.memory import on_device, retry_on_oom
    from pack.seeing_core.errors import InputError

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
            audio_model=audio,
            binder=binder,
            image=picture,
            prompt="a ball",
            negative_prompt="",
            steps=3,
            seed=0,
            duration=0.5,
            guidance_scale=2.5,
            preset={"preset": "paper", "strength": 1.0},
        )
        report["on device"]["image to audio"] = list(here)
        nodes["AudioToVideo"].execute(
            video_model=video,
            binder=binder,
            audio=sound,
            prompt="a ball",
            negative_prompt="",
            steps=3,
            fps=4.0,
            seed=0,
            duration=0.5,
            width=64,
            height=64,
            guidance_scale=2.0,
            preset={"preset": "balanced", "strength": 1.0},
        )
        report["on device"]["audio to video"] = list(here)

        attempts: list[bool] = []

        def too_large_at_first(low_memory: bool) -> str:
            attempts.append(low_memory)
            if not low_memory:
                torch.empty(TOO_MUCH, dtype=torch.uint8)
            return "made"

        report["second attempt"] = [retry_on_oom(too_large_at_first, "duration"), attempts]
        report["models after the first"] = len(management.current_loaded_models)
        try:
            retry_on_oom(lambda low_memory: torch.empty(TOO_MUCH, dtype=torch.uint8), "width, height or duration")
        except InputError as error:
            report["too large"] = str(error)
        try:
            retry_on_oom(lambda low_memory: torch.zeros(2) @ torch.zeros(3), "duration")
        except RuntimeError as error:
            report["another error"] = type(error).__name__
        try:
            with on_device(binder, keep=("audio",)), binder.model.visit("vision"):
                raise management.InterruptProcessingException
        except management.InterruptProcessingException:
            report["after a cancel"] = [names.get(id(loaded.model.model)) for loaded in management.current_loaded_models]
    gib = memory.GIB
    report["memory asked for"] = {
        "10 s of audio": memory.audio_bytes(10.24, 1) / gib,
        "an hour": memory.audio_bytes(3600, 1) / gib,
        "four of 1 s": memory.audio_bytes(1.024, 4) / gib,
        "16 frames of 512 x 512": memory.video_bytes(video, 512, 512, 16, 1) / gib,
        "1024 x 1024, two": memory.video_bytes(video, 1024, 1024, 16, 2) / gib,
        "the model's own 64 x 64": memory.video_bytes(video, 0, 0, 16, 1) / gib,
    }
    print_report(report)


asyncio.run(main())
