"""Run by a test in a process of its own: Align Model on small models of ComfyUI's own classes, under its own samplers."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import Any

from own_process import import_pack, nodes_of
from own_process import report as print_report

wanted = sys.argv[4:]  # families, and "samplers"
pack = import_pack()
import comfy.model_management as management  # noqa: E402
import comfy.sample  # noqa: E402
import torch  # noqa: E402
from align_bench import STEPS, Bench, batch, drawn, losses, sampled  # noqa: E402
from comfy.nested_tensor import NestedTensor  # noqa: E402
from comfy_api.torch_helpers import set_torch_compile_wrapper  # noqa: E402
from native_models import FAMILIES, Family  # noqa: E402
from torch import Tensor  # noqa: E402

SAMPLERS = ["euler", "dpmpp_2m", "heun", "uni_pc", "lcm", "euler_ancestral"]
STEPS_TRIED = (1e-3, 1e-4, 1e-5, 1e-6)


def check(bench: Bench, name: str) -> dict[str, Any]:
    """What holds for every family."""
    family = FAMILIES[name]()
    targets = bench.targets(name)
    model, alignment = bench.patched(family, targets)
    report: dict[str, Any] = {"losses": []}
    for seed in range(5):
        sampled(family, model, seed, steps=2 * STEPS)
        report["losses"].append(losses(alignment))
    first = sampled(family, model, 4)
    report["again"] = bool(torch.equal(sampled(family, model, 4), first))
    plain = sampled(family, family.model)
    report["moved"] = float((sampled(family, model) - plain).abs().max())
    report["off"] = bool(torch.equal(sampled(family, bench.patched(family, targets, strength=0.0)[0]), plain))
    if name != "ltx_av":
        report["no targets"] = bool(torch.equal(sampled(family, bench.patched(family, ())[0]), plain))
    report["cancel"] = cancelled(family, model)
    report["after cancel"] = bool(torch.equal(sampled(family, model, 4), first))
    others = [beside(family, model, other) for other in (1, 2)]
    report["batch"] = [bool(torch.equal(others[0][0], others[1][0])), bool(torch.equal(others[0][1], others[1][1]))]
    twice = bench.patched(family, targets)[0]
    family.model, kept = twice, family.model
    model_twice, second = bench.patched(family, targets)
    report["twice"] = float((sampled(family, model_twice) - sampled(family, twice)).abs().max())
    family.model = kept
    report["gradient"] = [gradient_error(family, vae) for vae in (family.vae, family.audio_vae) if vae is not None]
    run = weakref.ref(watch_a_run(family, *bench.patched(family, targets)))
    gc.collect()
    report["run kept"] = run() is not None
    return report


def beside(family: Family, model: Any, other: int) -> Tensor:
    """Two samples made as one batch, the second from noise of its own."""
    latent = family.latent
    noises = [comfy.sample.prepare_noise(latent, seed) for seed in (0, other)]
    noise = (
        NestedTensor([torch.cat(parts) for parts in zip(*(noise.unbind() for noise in noises), strict=True)])
        if latent.is_nested
        else torch.cat(noises)
    )
    return drawn(family, model, noise, batch(latent, 2))


def gradient_error(family: Family, vae: Any) -> float:
    """Of a decoder's gradient along a random direction against finite differences, relative.

    In double precision as far as the VAE allows: some compute parts in single precision, or have kinks.
    """
    from pack.nodes.native.decoders import NativeAudio, NativeVideo
    from pack.nodes.native.vae import NativeVae

    vae.first_stage_model.double()
    vae.vae_dtype = torch.float64
    native = NativeVae(vae, "vae")
    latents = family.latent.unbind() if family.latent.is_nested else [family.latent]
    shape = next(latent.shape for latent in latents if native.takes(tuple(latent.shape)))
    with torch.inference_mode(False):
        native.load()
        decoder: Any = (
            NativeAudio.of(native, shape, lambda z: z) if native.hears else NativeVideo.of(native, shape, lambda z: z, 8.0)
        )
        parts = range(len(decoder.windows)) if native.hears else range(decoder.frames)
        z, direction = torch.randn(2, *shape, generator=torch.Generator().manual_seed(5)).double()
        weights: list[Tensor] = []

        def value(x0: Tensor) -> Tensor:
            decoded = decoder.decode(x0, list(parts))
            weights[:] = weights or [torch.randn(decoded.shape, generator=torch.Generator().manual_seed(6)).double()]
            return (decoded * weights[0]).sum()

        leaf = z.clone().requires_grad_()
        exact = float((torch.autograd.grad(value(leaf), leaf)[0] * direction).sum())
        with torch.no_grad():
            found = [float((value(z + step * direction) - value(z - step * direction)) / (2 * step)) for step in STEPS_TRIED]
    vae.first_stage_model.float()
    vae.vae_dtype = torch.float32
    return min(abs(exact - one) / abs(one) for one in found)


def watch_a_run(family: Family, model: Any, alignment: Any) -> Any:
    seen: list[Any] = []
    inner = alignment._prepared

    def prepared(*inputs: Any) -> Any:
        seen.append(inner(*inputs))
        return seen[-1]

    alignment._prepared = prepared
    sampled(family, model)
    del alignment._prepared
    return seen.pop()


def cancelled(family: Family, model: Any) -> str:
    management.interrupt_current_processing(True)
    try:
        sampled(family, model)
    except management.InterruptProcessingException:
        return "cancelled"
    finally:
        management.interrupt_current_processing(False)
    return "went on"


def samplers(bench: Bench) -> dict[str, Any]:
    """Every sampler, part of the noise, a mask."""
    report: dict[str, Any] = {}
    family = FAMILIES["pictures"]()
    model, alignment = bench.patched(family, bench.words)
    hardly, watched = bench.patched(family, bench.words, strength=1e-6)
    for sampler in SAMPLERS:
        sampled(family, model, sampler=sampler)
        sampled(family, hardly, sampler=sampler)
        report[sampler] = [losses(watched)[-1], losses(alignment)[-1], len(losses(alignment))]
    start = torch.randn(family.latent.shape, generator=torch.Generator().manual_seed(3))
    sampled(family, model, latent=start, denoise=0.5)
    sampled(family, hardly, latent=start, denoise=0.5)
    report["half"] = [losses(watched)[-1], losses(alignment)[-1], len(losses(alignment))]
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1
    made = sampled(family, model, latent=start, noise_mask=mask)
    report["masked"] = [float((made - start)[..., side].abs().max()) for side in (slice(8), slice(8, 16))]
    report["trace"] = str(alignment.trace_of(made).steps)
    report["compiled"] = compiled(bench)
    return report


def compiled(bench: Bench) -> list[float]:
    """How far the result of a compiled model is from that of the same model as it is: compiled before Align Model, and after it.

    Traced into a graph as always; that the graph is then run as it is, not turned into machine code, changes nothing here.
    """
    family = FAMILIES["pictures"]()
    exact = sampled(family, bench.patched(family, bench.words)[0])
    plain, found = family.model, []
    family.model = plain.clone()
    set_torch_compile_wrapper(family.model, backend="eager")
    found.append(sampled(family, bench.patched(family, bench.words)[0]))
    family.model = plain
    after = bench.patched(family, bench.words)[0].clone()
    set_torch_compile_wrapper(after, backend="eager")
    found.append(sampled(family, after))
    return [float((one - exact).abs().max() / exact.abs().max()) for one in found]


async def main() -> None:
    nodes = await nodes_of(pack)
    with torch.inference_mode():
        bench = Bench(nodes)
        print_report({name: samplers(bench) if name == "samplers" else check(bench, name) for name in wanted})


asyncio.run(main())
