"""The four tasks ready to be measured: their denoisers, their objective, and what a guided step cannot do without.

Embeddings are random: cost does not depend on them. So the models may be empty shells on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seeing_core.guidance.loop import Objective, sample
from seeing_core.guidance.assembly import video_objective, joint_objective, sound_objective, sound_view
from seeing_core.generators.audioldm import ConditionedAudioLDM
from seeing_core.guidance.old_losses import Target
from seeing_core.guidance.settings import JOINT_PRESETS, VIDEO_PRESETS, AUDIO_PRESETS, AlignSettings
from seeing_core.tasks import span_groups
from seeing_core.generators.animatediff import ConditionedAnimateDiff
from seeing_core.guidance.clips import PictureView, SoundView
from tests.benchmarks.counting import Cost, count
from tests.benchmarks.sizes import Models

STEPS = {"v2a": 30, "i2a": 30, "a2v": 25, "joint": 25}
TUNED = AlignSettings("paper", prompt_strength=1.0)
PRESETS: dict[str, dict[str, AlignSettings]] = {
    "v2a": AUDIO_PRESETS, "i2a": AUDIO_PRESETS, "a2v": VIDEO_PRESETS, "joint": JOINT_PRESETS,
}


@dataclass(frozen=True)
class Scene:
    """One task on given models. `heard`, `seen`: the views that the objective decodes and embeds, where it has them."""

    models: Models
    tasks: Sequence[ConditionedAudioLDM | ConditionedAnimateDiff]
    objective: Objective
    heard: SoundView | None = None
    seen: PictureView | None = None

    @property
    def parts(self) -> dict[str, list[nn.Module]]:
        audio, video, binder = self.models
        return {"UNet": [audio.unet, video.unet], "VAE": [audio.vae, video.vae], "vocoder": [audio.vocoder],
                "binder": [binder]}

    def step(self, settings: AlignSettings, *, guided: bool = True, cfg: bool = True) -> None:
        """One denoise step, with or without the aligner's work after it."""
        one = replace(settings, start_fraction=0.0, end_fraction=float(guided), cfg_end_fraction=float(cfg))
        sample(self.tasks, self.objective, one, seeds=[0], steps=1, report=lambda progress: None)

    def run(self, settings: AlignSettings, steps: int) -> None:
        """All denoise steps of a run, without the final decoding."""
        sample(self.tasks, self.objective, settings, seeds=[0], steps=steps, report=lambda progress: None)

    def cost(self, settings: AlignSettings, *, guided: bool = True, cfg: bool = True) -> Cost:
        return count(lambda: self.step(settings, guided=guided, cfg=cfg), self.parts)

    def run_flops(self, settings: AlignSettings, steps: int) -> int:
        """Of all denoise steps of a run."""
        kinds = [(settings.guides(i, steps), i < -(-steps * settings.cfg_end_fraction // 1)) for i in range(steps)]
        each = {kind: self.cost(settings, guided=kind[0], cfg=kind[1]).total for kind in set(kinds)}
        return sum(each[kind] for kind in kinds)


def scene(
    task: str, models: Models, settings: AlignSettings, *, duration_s: float = 10.0, frames: int = 16, side: int = 512
) -> Scene:
    """task: "v2a", "i2a" (one and the same work), "a2v", "joint".  duration_s: of a sound alone; a film sets its own."""
    video = _film(models, frames, side)
    sound = _sound(models, video.duration_s if task == "joint" else duration_s)
    target, binder, events = _embedding(models), models.binder, [[0.5]]
    hearing = sound_view(sound, binder, settings)
    groups = span_groups(binder, video.duration_s)
    seeing = PictureView.of(video, binder, groups)
    if task in ("v2a", "i2a"):
        targets = [Target("vision", target), Target("text", target, settings.text_weight)]
        objective = sound_objective(hearing, [targets] * len(hearing.sizes), settings, events)
        return Scene(models, [sound], objective, heard=hearing)
    if task == "a2v":
        targets = [Target("audio", target), Target("text", target)]
        objective = video_objective(video, binder, groups, [targets] * len(groups), settings, events)
        return Scene(models, [video], objective, seen=seeing)
    objective = joint_objective(video, sound, binder, target, settings, text_weight=1.0)
    return Scene(models, [video, sound], objective, hearing, seeing)


def floor(scene: Scene, settings: AlignSettings) -> list[Callable[[], None]]:
    """The calls that a guided step is made of at the least, each module called plainly and once per pass.

    UNet: both halves of classifier-free guidance forward; with gradients through it the backward pass of what they need.
    VAE, vocoder, the binder's tower: forward and backward, once for all that the binder takes in, nothing where it takes no
    part. An event term needs all of the log-mel, or all frames, and shares them with the binder. No checkpointing.
    """
    again = settings.inner_steps if settings.through_unet else 1
    unets = [lambda task=task: _unet(task, settings) for task in scene.tasks] * again
    judged: list[Callable[[], None]] = []
    if not (settings.aligns and (settings.fit_weight or settings.event_weight)):
        return unets
    if scene.heard:
        judged += [lambda group=group: _hear(scene.heard, group, settings) for group in range(len(scene.heard.sizes))]
    if scene.seen and settings.event_weight:
        judged.append(lambda: _back_and_forth(scene.seen.task.model.decode, scene.seen.task.initial_noise([0])))
    if scene.seen and settings.fit_weight:
        judged += [lambda group=group: _see(scene.seen, group, settings) for group in range(len(scene.seen.sizes))]
    return unets + judged * settings.inner_steps


def _unet(task: ConditionedAudioLDM | ConditionedAnimateDiff, settings: AlignSettings) -> None:
    whole, prompt = task.initial_noise([0]), task.initial_prompt(1)
    through_latent = settings.mode == "unet" and settings.strength > 0
    for window in task.windows:
        z = whole[:, :, window.start : window.stop].detach().requires_grad_(through_latent)
        y = prompt.detach().requires_grad_(settings.prompt_strength > 0)
        with _keeping_activations(task.model.unet), torch.set_grad_enabled(settings.through_unet):
            eps = task._predict(z, torch.tensor(500), y, scale=task.guidance_scale)
        wanted = [leaf for leaf in (z, y) if leaf.requires_grad]
        if wanted:
            torch.autograd.grad(eps, wanted, eps.detach())


@contextmanager
def _keeping_activations(unet: nn.Module) -> Iterator[None]:
    """The parts of the UNet with the forward passes of their classes, which are not checkpointed."""
    own = {part: part.__dict__.pop("forward") for part in unet.modules() if "forward" in part.__dict__}
    try:
        yield
    finally:
        for part, forward in own.items():
            part.forward = forward


def _hear(view: SoundView, group: int, settings: AlignSettings) -> None:
    piece, model = view.pieces[group], view.task.model
    z = view.task.initial_noise([0])[:, :, piece.start : piece.stop]
    mel = _back_and_forth(model.decode_mel, z)
    if not settings.fit_weight:
        return
    samples = _back_and_forth(lambda m: model.vocoder(m.to(model.vocoder.dtype)), mel)
    _back_and_forth(lambda s: view.binder.embed_audio(s, piece.segments), samples.view(1, -1)[:, : piece.length].float())


def _see(view: PictureView, group: int, settings: AlignSettings) -> None:
    wanted, places = view.groups[group].unique(return_inverse=True)
    z = view.task.initial_noise([0])[:, :, wanted.tolist()]
    if settings.event_weight:  # all frames are decoded already
        step = view.task.model.pixels_per_latent
        frames = z.new_zeros(1, len(wanted), 3, step * z.shape[-2], step * z.shape[-1])
    else:
        frames = _back_and_forth(view.task.model.decode, z)
    preprocess_frames = view.binder.preprocess_frames(frames.flatten(0, 1))[None]
    _back_and_forth(lambda s: view.binder.embed_frames(s, places), preprocess_frames)


def _back_and_forth(function: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    leaf = value.detach().requires_grad_()
    with torch.enable_grad():
        out = function(leaf)
        torch.autograd.grad(out, leaf, out.detach())
    return out.detach()


def _sound(models: Models, duration_s: float) -> ConditionedAudioLDM:
    size = models.audio.unet.config.projection_class_embeddings_input_dim
    prompt = _random(models.audio.unet, 1, size)
    return ConditionedAudioLDM(models.audio, prompt, prompt, duration_s)


def _film(models: Models, frames: int, side: int) -> ConditionedAnimateDiff:
    prompt = _random(models.video.unet, 1, 77, models.video.unet.config.cross_attention_dim)
    return ConditionedAnimateDiff(models.video, prompt, prompt, frames, 8.0, side, side)


def _embedding(models: Models) -> Tensor:
    size = models.binder.towers.modality_heads["audio"][-1].out_features
    return _random(models.binder, size)


def _random(like: nn.Module, *shape: int) -> Tensor:
    weights = next(like.parameters())
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(weights.device)
