"""Run by a test in a process of its own: what Align Model and its companions refuse, and how long an empty latent is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from own_process import import_pack, nodes_of
from own_process import report as print_report

pack = import_pack()
import torch  # noqa: E402
from align_bench import WIDGETS, Bench, sampled  # noqa: E402
from native_models import FAMILIES, ace_step, ltx_av, pictures, stable_audio, wan  # noqa: E402
from torch import Tensor  # noqa: E402


def refused(work: Callable[[], Any]) -> str:
    try:
        work()
    except ValueError as error:
        return str(error)
    return "taken"


def bad_inputs(bench: Bench, nodes: dict[str, Any]) -> dict[str, str]:
    sound, still, video, both = stable_audio(), pictures(), wan(), ltx_av()

    def with_vae(family: Any, vae: Any, **more: Any) -> Callable[[], Any]:
        return lambda: sampled(
            family,
            bench.align.execute(model=family.model, vae=vae, binder=bench.binder, targets=bench.words, **(WIDGETS | more)).args[
                0
            ],
        )

    report = {
        "another model's VAE": refused(with_vae(sound, ace_step().vae)),
        "a sound's VAE for pictures": refused(with_vae(still, sound.vae)),
        "two VAEs of sound": refused(with_vae(both, both.audio_vae, audio_vae=both.audio_vae)),
        "event times": refused(with_vae(sound, sound.vae, event_times="soon")),
        "too short": refused(with_vae(stable_audio(frames=4), sound.vae)),
    }
    none = nodes["AlignTargetNode"].execute("a bell", 0.0).args[0]
    report["no weight"] = refused(lambda: bench.patched(sound, none))
    for name, dtype in (("fp8", torch.float8_e4m3fn), ("GGUF", torch.uint8)):  # blocks of a GGUF file are bytes
        packed = stable_audio()
        weight = next(packed.vae.first_stage_model.parameters())
        weight.requires_grad_(False).data = weight.data.to(dtype)
        report[name] = refused(with_vae(packed, packed.vae))
    deaf = wan()
    deaf.vae.first_stage_model.decode = torch.no_grad()(deaf.vae.first_stage_model.decode)
    report["no gradients"] = refused(with_vae(deaf, deaf.vae))
    broken = pictures()
    next(broken.model.model.diffusion_model.parameters()).data.fill_(float("nan"))
    report["NaN"] = refused(with_vae(broken, broken.vae))
    _, alignment = bench.patched(video, bench.sound)
    report["another latent"] = refused(
        lambda: nodes["AlignmentReport"].execute(alignment, {"samples": torch.zeros(1, 16, 4, 8, 8)})
    )
    latent = nodes["EmptyAudioLatentForVideo"]
    report["pictures for sound"] = refused(lambda: latent.execute(torch.rand(8, 32, 32, 3), still.vae, 1, 8.0))
    return report


def lengths(nodes: dict[str, Any]) -> dict[str, Any]:
    """Seconds of sound that an empty latent for 11 frames at 8 a second decodes to, and those that one latent frame holds."""
    from pack.nodes.native.decoders import samples_per_frame
    from pack.nodes.native.vae import NativeVae

    report = {}
    for name in ("stable_audio", "stable_audio_3", "ace_step", "ltx_av"):
        family = FAMILIES[name]()
        vae = family.audio_vae or family.vae
        latent, seconds = nodes["EmptyAudioLatentForVideo"].execute(torch.rand(11, 32, 32, 3), vae, 2, 8.0).args
        native = NativeVae(vae, "vae")
        made = vae.first_stage_model.decode(latent["samples"])
        per_frame, offset = samples_per_frame(native, latent["samples"].shape)
        samples = latent["samples"].shape[native.time_axis] * per_frame + offset
        assert samples <= made.shape[-1]  # some fill up their latents
        report[name] = [len(made), samples / native.rate_hz, per_frame / native.rate_hz, seconds]
    return report


def short_of_memory(bench: Bench) -> dict[str, Any]:
    """A VAE that runs out once, and one that always does."""
    family = wan()
    model, alignment = bench.patched(family, bench.sound, end_fraction=0.3)
    decode, sizes = family.vae.first_stage_model.decode, []

    def scarce(times: float) -> Callable[[Tensor], Tensor]:
        def tried(latents: Tensor) -> Tensor:
            sizes.append(latents.shape[2])
            if len(sizes) <= times:
                raise torch.OutOfMemoryError("out of memory: planted")
            return decode(latents)

        return tried

    report: dict[str, Any] = {}
    for name, times in (("enough", 0), ("once", 1), ("always", float("inf"))):
        sizes.clear()
        alignment.vaes[0]._decode = scarce(times)
        report[name] = refused(lambda: sampled(family, model))
        report[name + ", latent frames"] = list(sizes)
    return report


async def main() -> None:
    nodes = await nodes_of(pack)
    with torch.inference_mode():
        bench = Bench(nodes)
        print_report({"refused": bad_inputs(bench, nodes), "lengths": lengths(nodes), "memory": short_of_memory(bench)})


asyncio.run(main())
