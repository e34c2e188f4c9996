"""The four tasks ready to be measured: their generators, their loss, and what a guided step cannot do without.

Embeddings are random: cost does not depend on them. So the models may be empty shells on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seeing_core.generators.animatediff import ConditionedAnimateDiff
from seeing_core.generators.audioldm import ConditionedAudioLDM
from seeing_core.guidance.clips import AudioView, VideoView, video_windows
from seeing_core.guidance.drafts import Plan, Stage, begin, begins_before, best_beginning, draft, draft_count, numbers_tried
from seeing_core.guidance.loop import sample
from seeing_core.guidance.losses import (
    EventTimesTerm,
    OnsetMotionTerm,
    PairTerm,
    TargetTerm,
    Term,
    WeightedLoss,
)
from seeing_core.guidance.settings import (
    AUDIO_PRESETS,
    JOINT_PRESETS,
    VIDEO_PRESETS,
    AlignSettings,
)
from tests.benchmarks.counting import Cost, count
from tests.benchmarks.sizes import Models

STEPS = {"v2a": 30, "i2a": 30, "a2v": 25, "joint": 25}
TUNED = AlignSettings("paper", prompt_strength=1.0)
PRESETS: dict[str, dict[str, AlignSettings]] = {
    "v2a": AUDIO_PRESETS,
    "i2a": AUDIO_PRESETS,
    "a2v": VIDEO_PRESETS,
    "joint": JOINT_PRESETS,
}


@dataclass(frozen=True)
class Scene:
    """One task on given models."""

    models: Models
    generators: Sequence[ConditionedAudioLDM | ConditionedAnimateDiff]
    loss: WeightedLoss

    @property
    def parts(self) -> dict[str, list[nn.Module]]:
        audio, video, binder = self.models
        return {"UNet": [audio.unet, video.unet], "VAE": [audio.vae, video.vae], "vocoder": [audio.vocoder], "binder": [binder]}

    def step(self, settings: AlignSettings, *, guided: bool = True, cfg: bool = True) -> None:
        """One denoise step, with or without the aligner's work after it."""
        one = replace(
            settings, start_fraction=0.0, end_fraction=float(guided), cfg_start_fraction=0.0, cfg_end_fraction=float(cfg)
        )
        sample(self.generators, self.loss, one, seeds=[0], steps=1)

    def run(self, settings: AlignSettings, steps: int) -> None:
        """Drafts and all denoise steps of a run, without the final decoding."""
        first_step, latents = 0, None
        if begins_before(settings, self.loss):
            begun = best_beginning(self.generators, self.loss, settings, seeds=[0], steps=steps)
            first_step, latents = begun.step, begun.latents
        sample(self.generators, self.loss, settings, seeds=[0], steps=steps, first_step=first_step, latents=latents)

    def cost(self, settings: AlignSettings, *, guided: bool = True, cfg: bool = True) -> Cost:
        return count(lambda: self.step(settings, guided=guided, cfg=cfg), self.parts)

    def run_flops(self, settings: AlignSettings, steps: int) -> int:
        """Of the drafts and all denoise steps of a run."""
        plan = Plan.of(settings, draft_count(settings, self.loss), steps, in_time=bool(self.loss.of_moments()))
        kinds = [(settings.is_guided(i, steps), i in settings.cfg_steps(steps)) for i in range(plan.shared[-1], steps)]
        each = {kind: self.cost(settings, guided=kind[0], cfg=kind[1]).total for kind in set(kinds)}
        noises = [generator.initial_noise([0])[None] for generator in self.generators]
        drafts = 0
        for way in plan.rounds:
            if way.guided:
                pair = count(lambda: begin(self.generators, self.loss, settings, noises, plan, noises), self.parts).total
                drafts += way.drafts * pair
            for place, tried in enumerate(numbers_tried(len(noises), plan.drafts)):
                own, noise, most = self.generators[place], noises[place], way.most(tried)
                if not way.guided:
                    drafts += most * count(lambda: begin([own], self.loss, settings, [noise], plan), self.parts).total
                for stage in way.stages:
                    drafts += min(stage.drafts, most) * count(lambda: self.draft(plan, stage, place), self.parts).total
        return drafts + sum(each[kind] for kind in kinds)

    @torch.no_grad()
    def draft(self, plan: Plan, stage: Stage, place: int) -> None:
        """One of the generator at this place, taken through the stage and embedded; comparing them costs nothing beside it."""
        medium, generator = list(self.loss.views)[place], self.generators[place]
        places = plan.rest[stage.start : stage.stop + 1]
        x0 = generator.initial_noise([0])
        if stage.stop > stage.start:
            x0 = draft(generator, x0, plan.levels(generator, places), cfg_steps=plan.cfg(places))[1]
        self.loss.embeddings(medium, x0)


def scene(
    task: str,
    models: Models,
    settings: AlignSettings,
    *,
    duration_s: float = 10.0,
    frames: int = 16,
    side: int = 512,
    low_memory: bool = False,
) -> Scene:
    """task: "v2a", "i2a" (one and the same work), "a2v", "joint".  duration_s: of audio alone; a video sets its own."""
    target, binder = _embedding(models), models.binder
    video = replace(_video(models, frames, side), low_memory=low_memory)
    audio = replace(_audio(models, frames / video.fps if task == "joint" else duration_s), low_memory=low_memory)
    hearing = AudioView(audio, binder)
    if task in ("v2a", "i2a"):
        terms = _weighted(settings, [("vision", settings.vision_weight), ("text", settings.text_weight)], "audio", target)
        sync = [EventTimesTerm(settings.sync_weight, "audio", [[0.5]])] if settings.sync_weight else []
        return Scene(models, [audio], WeightedLoss({"audio": hearing}, [terms] * len(audio.windows_s), sync))
    if task == "a2v":
        windows = video_windows(binder, frames / video.fps)
        terms = _weighted(settings, [("audio", settings.audio_weight), ("text", settings.text_weight)], "vision", target)
        sync = [EventTimesTerm(settings.sync_weight, "vision", [[0.5]])] if settings.sync_weight else []
        return Scene(models, [video], WeightedLoss({"vision": VideoView(video, binder, windows)}, [terms] * len(windows), sync))
    windows = hearing.all_segments_s()
    terms = [
        *_weighted(settings, [("vision-text", settings.text_weight)], "vision", target),
        *_weighted(settings, [("audio-text", settings.text_weight)], "audio", target),
    ]
    terms += [PairTerm("vision-audio", settings.binder_weight)] if settings.binder_weight else []
    sync = [OnsetMotionTerm(settings.sync_weight)] if settings.sync_weight else []
    views = {"vision": VideoView(video, binder, windows), "audio": hearing}
    return Scene(models, [video, audio], WeightedLoss(views, [terms] * len(windows), sync))


def _weighted(settings: AlignSettings, named: Sequence[tuple[str, float]], medium: str, target: Tensor) -> list[Term]:
    return [
        TargetTerm(name, settings.binder_weight * weight, medium, target)
        for name, weight in named
        if settings.binder_weight * weight
    ]


def floor(scene: Scene, settings: AlignSettings) -> list[Callable[[], None]]:
    """The calls that a guided step is made of at the least, each module called plainly and once per pass.

    UNet: both halves of classifier-free guidance forward; with gradients through it the backward pass of what they need.
    VAE, vocoder, the binder's tower: forward and backward, once for all that the binder takes in, nothing where it takes no
    part. A sync term needs all of the log-mel, or all frames, and shares them with the binder. No checkpointing.
    """
    again = settings.inner_steps if settings.through_unet else 1
    unets = [lambda generator=generator: _unet(generator, settings) for generator in scene.generators] * again
    if not (settings.enabled and (settings.binder_weight or settings.sync_weight)):
        return unets
    judged: list[Callable[[], None]] = []
    views: Mapping[str, AudioView | VideoView] = scene.loss.views
    for view in views.values():
        if isinstance(view, AudioView):
            judged += [
                lambda view=view, window=window: _hear(view, window, settings)
                for window in range(len(view.generator.windows_s))
            ]
        else:
            judged += _see(view, settings)
    return unets + judged * settings.inner_steps


def _unet(generator: ConditionedAudioLDM | ConditionedAnimateDiff, settings: AlignSettings) -> None:
    whole, prompt, level = generator.initial_noise([0]), generator.initial_prompt(1), generator.noise_levels(4)[1]
    through_latent = settings.mode == "unet" and settings.strength > 0
    for window in generator.windows:
        z = whole[:, :, window.start : window.stop].detach().requires_grad_(through_latent)
        y = prompt.detach().requires_grad_(settings.prompt_strength > 0)
        alone = _of_one_window(generator, window.stop - window.start)
        with _keeping_activations(generator.model.unet), torch.set_grad_enabled(settings.through_unet):
            eps = alone.predict_noise(z, level, y, cfg=True)
        wanted = [leaf for leaf in (z, y) if leaf.requires_grad]
        if wanted:
            torch.autograd.grad(eps, wanted, eps.detach())


def _of_one_window(
    generator: ConditionedAudioLDM | ConditionedAnimateDiff, length: int
) -> ConditionedAudioLDM | ConditionedAnimateDiff:
    if isinstance(generator, ConditionedAnimateDiff):
        return replace(generator, frames=length)
    return replace(generator, duration_s=length * generator.model.samples_per_latent / generator.rate_hz)


@contextmanager
def _keeping_activations(unet: nn.Module) -> Iterator[None]:
    """The parts of the UNet with the forward passes of their classes, which are not checkpointed."""
    own = {part: part.__dict__.pop("forward") for part in unet.modules() if "forward" in part.__dict__}
    try:
        yield
    finally:
        for part, forward in own.items():
            part.forward = forward


def _hear(view: AudioView, number: int, settings: AlignSettings) -> None:
    generator, (start_s, stop_s) = view.generator, view.generator.windows_s[number]
    window, model = generator.windows[number], generator.model
    mel = _back_and_forth(model.decode_mel, generator.initial_noise([0])[:, :, window.start : window.stop])
    if not settings.binder_weight:
        return
    samples = _back_and_forth(lambda m: model.vocoder(m.to(model.vocoder.dtype)), mel)
    length, segments = round((stop_s - start_s) * generator.rate_hz), view.binder.clip_segments(stop_s - start_s)
    _back_and_forth(lambda s: view.binder.embed_audio(s, segments).clips, samples.view(1, -1)[:, :length].float())


def _see(view: VideoView, settings: AlignSettings) -> list[Callable[[], None]]:
    generator = view.generator
    frames = range(generator.frames)
    step, z = generator.model.pixels_per_latent, generator.initial_noise([0])
    decoded = z.new_zeros(1, generator.frames, 3, step * z.shape[-2], step * z.shape[-1])
    calls: list[Callable[[], None]] = []
    for segments in view.windows if settings.binder_weight else []:
        times_s = torch.arange(generator.frames, dtype=torch.float64) / generator.fps
        wanted, index = view.binder.sample_frame_indices(times_s, segments)
        if not settings.sync_weight:
            calls.append(lambda wanted=wanted: _back_and_forth(generator.model.decode, z[:, :, wanted]))

        def embed(wanted: list[int] = wanted, index: Tensor = index) -> None:
            seen = view.binder.preprocess_frames(decoded[0, wanted])[None]
            _back_and_forth(lambda given: view.binder.embed_frames(given, index).clips, seen)

        calls.append(embed)
    whole = [lambda: _back_and_forth(generator.model.decode, z[:, :, list(frames)])] if settings.sync_weight else []
    return whole + calls


def _back_and_forth(function: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    leaf = value.detach().requires_grad_()
    with torch.enable_grad():
        out = function(leaf)
        torch.autograd.grad(out, leaf, out.detach())
    return out.detach()


def _audio(models: Models, duration_s: float) -> ConditionedAudioLDM:
    size = models.audio.unet.config.projection_class_embeddings_input_dim
    prompt = _random(models.audio.unet, 1, size)
    return ConditionedAudioLDM(models.audio, prompt, prompt, duration_s)


def _video(models: Models, frames: int, side: int) -> ConditionedAnimateDiff:
    prompt = _random(models.video.unet, 1, 77, models.video.unet.config.cross_attention_dim)
    return ConditionedAnimateDiff(models.video, prompt, prompt, frames, 8.0, side, side)


def _embedding(models: Models) -> Tensor:
    size = models.binder.towers.modality_heads["audio"][-1].out_features
    return _random(models.binder, size)


def _random(like: nn.Module, *shape: int) -> Tensor:
    weights = next(like.parameters())
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(weights.device)
