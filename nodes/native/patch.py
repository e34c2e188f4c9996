"""The guidance as a patch of a native MODEL: after classifier-free guidance, x0 is moved so that what it decodes to fits better.

ComfyUI calls `_embedded` round a whole run, `_guided` at every estimate of x0. It works under every sampler and scheduler, because it
changes nothing but that estimate.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import comfy.model_management as management
import torch
from comfy.latent_formats import LatentFormat
from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import CONST
from comfy.patcher_extension import WrappersMP
from comfy.utils import unpack_latents
from torch import Tensor

from ...seeing_core.errors import InputError
from ...seeing_core.generators import animatediff, audioldm
from ...seeing_core.guidance.loop import Evaluation, Progress, align
from ...seeing_core.guidance.losses import WeightedLoss
from ...seeing_core.guidance.settings import AlignSettings
from ...seeing_core.guidance.state import GivenX0
from ...seeing_core.guidance.targets import AlignTarget
from ...seeing_core.guidance.trace import Recorder, Trace
from ...seeing_core.steering import steering_loss
from ..comfy.memory import BinderHandle, enable_autograd, load_whole, on_device, retry_on_oom
from ..comfy.progress import StageProgress, TaskProgress
from .decoders import NativeAudio, NativeVideo
from .vae import NativeVae

KEY = "seeing_hearing"
# λ₁ of mode x0 as of AudioLDM and AnimateDiff: latents are of about size 1 here too.
STEP = {"audio": audioldm.STEP_SIZES.latent["x0"], "vision": animatediff.STEP_SIZES.latent["x0"]}
# By parts of the names of samplers. Those that go on from x0 and fresh noise, or from the noise of another estimate: a move of x0
# arrives whole. Those that call the model again where a step ends, and go that step once more.
FROM_X0 = ("lcm", "cfg_pp")
AGAIN = ("heun", "dpm_2", "_2s", "dpmpp_sde", "seeds_2", "seeds_3")
RUNS_KEPT = 8


@dataclass
class Part:
    """A part of what the model makes.  place: among its latents.  frames_in_batch: the batch is the frames of one video."""

    place: int
    medium: str
    decoder: NativeAudio | NativeVideo
    frames_in_batch: bool

    def latents(self, x0: Tensor) -> Tensor:
        """As the decoder takes them: (F, C, H, W) -> (1, C, F, H, W) where the batch is a video."""
        return x0.movedim(0, 1)[None] if self.frames_in_batch else x0

    def restored(self, latents: Tensor) -> Tensor:
        return latents[0].movedim(1, 0) if self.frames_in_batch else latents


@dataclass
class Run:
    """One run of a sampler.  parts: in the order of the loss's views.  sigmas: its noise levels.  sampler: its name."""

    loss: WeightedLoss
    sparing_loss: WeightedLoss
    parts: list[Part]
    shapes: list[Sequence[int]]
    sigmas: list[float]
    sampler: str
    callback: Callable[[Progress], None]
    record: Recorder = field(default_factory=Recorder)

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    def step_of(self, sigma: float) -> int:
        """The step that a call of the model belongs to; some samplers call it between two levels as well."""
        return max(0, min(self.steps - 1, sum(level >= sigma * (1 - 1e-4) for level in self.sigmas[:-1]) - 1))

    def share(self, sampling: Any, sigma: float, step: int) -> float:
        """How far x0 has to be moved for this sampler to move as far as if the step's noise had been held (`held_noise`)."""
        if any(part in self.sampler for part in FROM_X0):
            return 1.0
        share = held_noise(sampling, sigma, self.sigmas[step + 1])
        if step and any(part in self.sampler for part in AGAIN):
            return min(share, sigma / (self.sigmas[step - 1] - sigma))
        return share


@dataclass
class Alignment:
    """Settings, targets and models of one Align Model node; the runs that were made with it.

    vaes: what decodes the model's latents.  fps: of the video that is made.  node_id: where the picture of what forms is shown.
    """

    vaes: list[NativeVae]
    binder: BinderHandle
    targets: tuple[AlignTarget, ...]
    settings: AlignSettings
    event_times: str
    clips: int
    fps: float
    frames_in_batch: bool
    node_id: str | None
    finished: deque[tuple[Tensor, Trace]] = field(default_factory=lambda: deque(maxlen=RUNS_KEPT))
    _run: Run | None = None

    def patched(self, model: ModelPatcher) -> ModelPatcher:
        """A clone of the model with this guidance added to whatever guides it already."""
        clone = model.clone()
        if self.settings.enabled:
            clone.set_model_sampler_post_cfg_function(self._guided)
            clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, self._embedded)
            # Loaded together with the model, so that ComfyUI reckons with all of them.
            others = [vae.vae.patcher for vae in self.vaes] + [self.binder.patchers[tower] for tower in self._towers]
            clone.set_additional_models(KEY, [*clone.get_additional_models_with_key(KEY), *others])
        return clone

    @property
    def _towers(self) -> list[str]:
        """The binder's towers that are used again and again."""
        return ["audio" if vae.hears else "vision" for vae in self.vaes]

    def trace_of(self, latent: Tensor) -> Trace:
        """Of the run that made this latent. Raises InputError when none of the last ones did."""
        for made, trace in reversed(self.finished):
            if torch.equal(made, _fingerprint(latent)):
                return trace
        raise InputError(
            "latent",
            "one that no sampler made with this model",
            "the latent of a sampler that the model of Align Model is connected to",
            "Where a node lies between the sampler and this one, connect the sampler itself.",
        )

    def _embedded(
        self, executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, *more: Any, **named: Any
    ) -> Tensor:
        """Round a run: embeds what the output is to fit before it, keeps the record after it."""
        shapes = named.get("latent_shapes") or [noise.shape]
        self._run = self._prepared(executor.class_obj.model_patcher, shapes, sigmas, sampler)
        try:
            made = executor(noise, latent_image, sampler, sigmas, *more, **named)
            points = self._run.record.points()
            trace = Trace(self.settings, self._run.steps, points, binder=self.binder.model.name)
            self.finished.append((_fingerprint(made), trace))
        finally:
            self._run = None
        return made

    def _prepared(self, model: ModelPatcher, shapes: list[Sequence[int]], sigmas: Tensor, sampler: Any) -> Run:
        with on_device(self.binder, keep=self._towers):
            for vae in self.vaes:
                vae.load()
            parts = [self._part(vae, shapes, model) for vae in self.vaes]
            loss = self._loss(parts)
            parts.sort(key=lambda part: list(loss.views).index(part.medium))
            views = {part.medium: replace(loss.views[part.medium], generator=part.decoder.sparing()) for part in parts}
            sparing = replace(loss, views=views)
        name = getattr(getattr(sampler, "sampler_function", None), "__name__", "")  # samplers of other packs may lack it
        return Run(
            loss,
            sparing,
            parts,
            shapes,
            sigmas.tolist(),
            name,
            TaskProgress(len(sigmas) - 1, self.node_id),
        )

    def _part(self, vae: NativeVae, shapes: list[Sequence[int]], model: ModelPatcher) -> Part:
        places = [place for place, shape in enumerate(shapes) if vae.takes(tuple(shape))]
        if not places:
            raise InputError(
                vae.name,
                f"{vae.family}, for latents of {vae.vae.latent_channels} channels",
                "a VAE for this model's latents, of shape " + " and ".join(str(tuple(shape)) for shape in shapes),
            )
        shape, to_vae = shapes[places[0]], _to_vae(model.get_model_object("latent_format"), len(shapes), model.load_device)
        if vae.hears:
            return Part(places[0], "audio", NativeAudio.of(vae, shape, to_vae), False)
        in_batch = self.frames_in_batch and len(shape) == 4
        if in_batch:
            shape = (1, shape[1], shape[0], *shape[2:])
        return Part(places[0], "vision", NativeVideo.of(vae, shape, to_vae, self.fps), in_batch)

    def _loss(self, parts: Sequence[Part]) -> WeightedLoss:
        decoders = {part.medium: part.decoder for part in parts}
        return steering_loss(
            self.binder.model,
            self.targets,
            self.settings,
            video=decoders.get("vision"),
            audio=decoders.get("audio"),
            event_times=self.event_times,
            clips=self.clips,
            motion_callback=StageProgress(),
        )

    def _guided(self, args: dict[str, Any]) -> Tensor:
        """x0 as the sampler goes on from it."""
        denoised, run = args["denoised"], self._run
        if run is None or not (run.loss.whole_terms or any(run.loss.window_terms)):
            return denoised
        sigma = float(args["sigma"].max())
        step = run.step_of(sigma)
        if not self.settings.is_guided(step, run.steps):
            return denoised
        share = run.share(args["model"].model_sampling, sigma, step)
        return retry_on_oom(
            lambda low_memory: self._moved(run, denoised, step, share, low_memory),
            "the size or the length of what is made, or choose a tiny VAE (vae_approx)",
            free=management.soft_empty_cache,
        )

    def _moved(self, run: Run, denoised: Tensor, step: int, share: float, low_memory: bool) -> Tensor:
        with enable_autograd():
            load_whole([self.binder.patchers[tower] for tower in self._towers])
            latents = [latent.clone() for latent in unpack_latents(denoised, run.shapes)]
            states = [
                GivenX0(part.latents(latents[part.place]), self.settings.strength * STEP[part.medium] * share)
                for part in run.parts
            ]
            align(
                states,
                run.sparing_loss if low_memory else run.loss,
                self.settings,
                lambda inner, seen: _watched(run, step, inner, seen),
            )
            for part, state in zip(run.parts, states, strict=True):
                latents[part.place] = part.restored(state.x0)
        if len(latents) == 1:
            return latents[0].to(denoised.dtype)
        return torch.cat([latent.reshape(len(latent), 1, -1) for latent in latents], -1).to(denoised.dtype)


def held_noise(sampling: Any, sigma: float, next_sigma: float) -> float:
    """How far x0 has to be moved for a sampler to move as far as if the step's noise had been held.

    A sampler holds its latent and reads the noise off it anew, so that of a move of x0 only 1 - next_sigma / sigma arrives. MPGD
    holds the noise; then all of it does, times what the next level has of x0.
    """
    kept = 1 - next_sigma if isinstance(sampling, CONST) else 1.0
    return kept / (1 - next_sigma / sigma) if next_sigma < sigma else 1.0


def _watched(run: Run, step: int, inner: int, evaluation: Evaluation) -> None:
    if inner == 0 and not math.isfinite(evaluation.mean_loss):
        raise InputError(
            "model",
            "NaN or infinite values in what it makes",
            "finite values",
            "Lower the strength or the CFG scale; if that does not help, its weights or its VAE do not fit this precision.",
        )
    run.record.add(step, inner, evaluation)
    run.callback(Progress(step, run.steps, inner, evaluation))


def _to_vae(latent_format: LatentFormat, parts: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """From the sampler's scale of latents to the VAE's. ComfyUI scales several media as one packed latent."""
    own = copy(latent_format)
    for name, value in vars(latent_format).items():
        if isinstance(value, Tensor):
            # Brought there once and not at every step; and gradients cannot pass what was made in inference mode.
            setattr(own, name, value.to(device, copy=True))
    if parts == 1:
        return own.process_out
    return lambda latents: own.process_out(latents.reshape(len(latents), 1, -1)).reshape(latents.shape)


def _fingerprint(latent: Any) -> Tensor:
    """A few values by which a latent is known again."""
    first = latent.unbind()[0] if latent.is_nested else latent
    flat = first.reshape(-1)
    return flat[:: max(1, len(flat) // 64)][:64].float().cpu().clone()
