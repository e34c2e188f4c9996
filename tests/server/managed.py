"""Run by the card's script in a process of its own: nodes under ComfyUI's memory manager, with memory short in several ways.

Arguments: as of `own_process`, then "cpu" or "card", then options of ComfyUI's such as --lowvram.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from own_process import TOO_MUCH, import_pack, nodes_of
from own_process import report as print_report

place, *options = sys.argv[4:]
pack = import_pack(["--cpu"] if place == "cpu" else options)
import comfy.model_management as management  # noqa: E402
import torch  # noqa: E402

TAKEN = 0.9  # of the free memory, by someone else


class Bench:
    """The nodes and the pocket models, and what was made of them last."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self.nodes = nodes
        self.audio = nodes["LoadAudioLDM"].execute("pocket (built in)").args[0]
        self.video = nodes["LoadAnimateDiff"].execute("pocket (built in)", "pocket (built in)").args[0]
        self.binder = nodes["LoadImageBind"].execute("pocket (built in)").args[0]
        random = torch.Generator().manual_seed(0)
        self.picture = torch.rand(1, 64, 64, 3, generator=random)
        self.sound = {"waveform": torch.rand(1, 1, 16000, generator=random) - 0.5, "sample_rate": 16000}
        self.common = {"binder": self.binder, "prompt": "a ball", "negative_prompt": "", "steps": 4, "seed": 0}
        self.preset = {"preset": {"preset": "paper", "strength": 1.0}}

    def image_to_audio(self) -> torch.Tensor:
        sized = {"audio_model": self.audio, "image": self.picture, "duration": 1.0, "guidance_scale": 2.5}
        return self.nodes["ImageToAudio"].execute(**self.common, **self.preset, **sized).args[0][0]["waveform"]

    def audio_to_video(self) -> torch.Tensor:
        sized = {"fps": 4.0, "duration": 1.0, "width": 64, "height": 64, "guidance_scale": 2.0}
        made = self.nodes["AudioToVideo"].execute(
            video_model=self.video, audio=self.sound, **self.common, **self.preset, **sized
        )
        return made.args[0][0]

    def measured(self) -> dict[str, Any]:
        """Both, each as a few of its values, with seconds and the most memory."""
        reset()
        started = time.perf_counter()
        sound, frames = self.image_to_audio(), self.audio_to_video()
        values = [*sound.flatten()[::1999].tolist(), *frames.flatten()[::4999].tolist()]
        return {"seconds": time.perf_counter() - started, "values": values, "peak_bytes": peak()}

    def failing(self, times: int) -> str:
        """What comes of a sound whose VAE runs out of memory so many times: "made", or the error."""
        left = [times]

        def fail(*_: Any) -> None:
            if torch.is_grad_enabled() and left[0]:
                left[0] -= 1
                torch.empty(TOO_MUCH, dtype=torch.uint8, device=management.get_torch_device())

        hook = self.audio.model.vae.decoder.register_forward_pre_hook(fail)
        try:
            self.image_to_audio()
            return "made"
        except Exception as error:  # what it is, is what is asked
            return f"{type(error).__name__}: {error}"
        finally:
            hook.remove()


def reset() -> None:
    if place == "card":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def peak() -> int | None:
    return torch.cuda.max_memory_allocated() if place == "card" else None


def held() -> int | None:
    return torch.cuda.memory_allocated() if place == "card" else None


async def main() -> None:
    nodes, report = await nodes_of(pack), {"held at first": held()}
    with torch.inference_mode():
        bench = Bench(nodes)
        report["run"], report["again"] = bench.measured(), bench.measured()
        if place == "card":
            free = management.get_free_memory(management.get_torch_device())
            taken = torch.empty(int(TAKEN * free), dtype=torch.uint8, device=management.get_torch_device())
            report["memory taken by someone else"] = bench.measured()
            del taken
        report["out of memory once"], report["twice"] = bench.failing(1), bench.failing(2)
        report["after that"] = bench.measured()
        # As /free does.
        management.unload_all_models()
        management.soft_empty_cache()
        report["held after freeing"] = held()
    print_report(report)


asyncio.run(main())
