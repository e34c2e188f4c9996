"""The loop follows its formulae, lowers its loss, costs no more than it must, and can be stopped."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from seeing_core.binders.imagebind import ImageBind
from seeing_core.generators.audioldm import STEP_SIZES, AudioLDM
from seeing_core.guidance.clips import AudioView
from seeing_core.guidance.loop import Progress, sample
from seeing_core.guidance.losses import TargetTerm, WeightedLoss
from seeing_core.guidance.settings import MODES, UNGUIDED, AlignSettings
from seeing_core.media.types import VideoFrames
from seeing_core.tasks import RunConfig, TaskResult, video_to_audio
from tests import plain

PROMPT = "a dog barks"
DURATION_S = 1.2
SAMPLES = round(DURATION_S * 16000)
# Strong enough for the untrained stand-ins, whose loss hardly moves.
STRONG = [
    AlignSettings("paper"),
    AlignSettings("gradient", 100),
    AlignSettings("x0"),
    AlignSettings("unet"),
    AlignSettings("unet", prompt_strength=1),
]


def run(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, **options: object) -> TaskResult:
    return video_to_audio(audioldm, binder, video, RunConfig(**{"steps": 4} | options), prompt=PROMPT, duration_s=DURATION_S)


def stacked(result: TaskResult) -> Tensor:
    return torch.stack([sound.samples for sound in result.waveforms])


@contextmanager
def counted(binder: ImageBind) -> Iterator[list[tuple[str, int]]]:
    """(tower, batch size) of each forward pass, in order."""
    calls: list[tuple[str, int]] = []
    hooks = [
        trunk.register_forward_pre_hook(
            lambda _, args, kwargs, tower=tower: calls.append((tower, len(kwargs["tokens"]))), with_kwargs=True
        )
        for tower, trunk in binder.towers.modality_trunks.items()
    ]
    yield calls
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("mode, prompt_strength", [("paper", 0), ("gradient", 0), ("x0", 0), ("unet", 0), ("unet", 1)])
def test_latents_equal_a_plain_loop(
    audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, mode: str, prompt_strength: float
) -> None:
    """In double precision: in single, a gradient near 0 may round to either sign, and Adam's step is a sign."""
    audioldm, binder = copy.deepcopy(audioldm).double(), copy.deepcopy(binder).double()
    generator = audioldm.conditioned([PROMPT], duration_s=DURATION_S)
    seen, read = plain.target_embeddings(binder, video, PROMPT, DURATION_S)
    terms = [TargetTerm("vision", 1.0, "audio", seen[0]), TargetTerm("text", 1.0, "audio", read[0])]
    weighted = WeightedLoss({"audio": AudioView(generator, binder)}, [terms])
    settings = AlignSettings(mode, prompt_strength=prompt_strength)
    [ours] = sample([generator], weighted, settings, seeds=[3], steps=10)

    loss = plain.binder_loss(audioldm, binder, video, PROMPT, SAMPLES)
    noise = torch.randn(1, 8, generator.latent_length, 16, generator=torch.Generator().manual_seed(3)).double()
    theirs = plain.guided_latent(
        audioldm,
        loss,
        noise,
        plain.ddim(audioldm, 10),
        prompt=PROMPT,
        mode=mode,
        rate=STEP_SIZES.latent[mode],
        prompt_rate=prompt_strength * STEP_SIZES.prompt,
    )
    [unguided] = sample([generator], weighted, UNGUIDED, seeds=[3], steps=10)
    assert (ours - theirs).abs().max() <= 1e-4
    assert (ours - unguided).abs().max() > 1e-2


@pytest.mark.parametrize("settings", STRONG, ids=lambda s: f"{s.mode}-{s.prompt_strength}")
def test_guidance_lowers_its_loss(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, settings: AlignSettings) -> None:
    def losses(settings: AlignSettings) -> list[Tensor]:
        """Of each of five seeds, at each guided step."""
        seen: list[Tensor] = []

        def callback(progress: Progress) -> None:
            if progress.evaluation:
                seen.append(progress.evaluation.loss)

        run(audioldm, binder, video, steps=6, settings=settings, seeds=range(5), callback=callback)
        return seen

    first, *_, last = losses(settings)
    [unguided] = losses(AlignSettings(settings.mode, strength=1e-9, start_fraction=0.7))  # looks at the last step only
    assert (last < first).all(), (first, last)
    assert (last < unguided).all(), (last, unguided)


@pytest.mark.parametrize("mode", MODES)
def test_each_inner_step_goes_on_from_the_last(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, mode: str) -> None:
    settings = AlignSettings(mode, strength=0.5, start_fraction=0.5, inner_steps=3)
    points = run(audioldm, binder, video, steps=3, settings=settings).trace.points
    first, second, third = (point.loss for point in points)
    assert first > second > third


def test_trace_holds_what_the_callback_saw(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    seen: list[Progress] = []
    result = run(audioldm, binder, video, settings=AlignSettings(inner_steps=2), seeds=[1, 2], callback=seen.append)
    inner = [progress for progress in seen if progress.evaluation]
    assert [(p.step, p.inner) for p in inner] == [(step, i) for step in (1, 2, 3) for i in (0, 1)]
    assert [p.step for p in seen if not p.evaluation] == [0, 1, 2, 3]
    for point, progress in zip(result.trace.points, inner, strict=True):
        assert (point.step, point.inner) == (progress.step, progress.inner)
        assert point.loss == pytest.approx(float(progress.evaluation.loss.mean()))
        assert point.loss == pytest.approx(point.terms["vision"] + point.terms["text"], abs=1e-5)
        assert progress.evaluation.previews[0].data.shape == (2, DURATION_S * 16000)
        assert progress.evaluation.previews[0].rate == 16000


def test_fixed_targets_are_embedded_once(audioldm: AudioLDM, fresh_binder: ImageBind, video: VideoFrames) -> None:
    with counted(fresh_binder) as calls:
        run(audioldm, fresh_binder, video, settings=AlignSettings(inner_steps=2))
    assert Counter(tower for tower, _ in calls) == {"vision": 1, "text": 1, "audio": 6}
    with counted(fresh_binder) as calls:
        run(audioldm, fresh_binder, video, seeds=[9])
    assert Counter(tower for tower, _ in calls) == {"audio": 3}


def test_clips_of_an_inner_step_are_one_batch(audioldm: AudioLDM, fresh_binder: ImageBind, video: VideoFrames) -> None:
    with counted(fresh_binder) as calls:
        run(audioldm, fresh_binder, video, seeds=[1, 2, 3])
    assert ("vision", 2) in calls  # 1.2 s of video are two clips of two frames, and two frames are one patch in time
    assert [batch for tower, batch in calls if tower == "audio"] == [6, 6, 6]  # two clips of three sounds


@pytest.mark.parametrize(
    "settings",
    [
        AlignSettings(strength=0),
        AlignSettings(start_fraction=1),
        AlignSettings(end_fraction=0),
        AlignSettings(vision_weight=0, text_weight=0),
    ],
)
def test_no_guidance_is_the_plain_sample(
    audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, settings: AlignSettings
) -> None:
    result = run(audioldm, binder, video, settings=settings)
    scheduler = plain.ddim(audioldm, 4)
    z = torch.randn(1, 8, 32, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.cat([plain.clap(audioldm, ""), plain.clap(audioldm, PROMPT)])
    with torch.no_grad():
        for t in scheduler.timesteps:
            pair = audioldm.unet(torch.cat([z, z]), t, encoder_hidden_states=None, class_labels=labels).sample
            z = scheduler.step(pair[:1] + 2.5 * (pair[1:] - pair[:1]), t, z).prev_sample
        mel = audioldm.vae.decode(z / audioldm.vae.config.scaling_factor).sample
        samples = audioldm.vocoder(mel[:, 0])[:, :SAMPLES].clamp(-1, 1)
    assert result.trace.points == ()
    torch.testing.assert_close(stacked(result)[0], samples, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_samples_depend_on_their_seed_alone(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, mode: str) -> None:
    def make(seeds: list[int], *models: torch.nn.Module) -> Tensor:
        return stacked(run(*models, video, steps=2, settings=AlignSettings(mode, prompt_strength=0.5), seeds=seeds))

    both, again, swapped = (make(seeds, audioldm, binder) for seeds in ([4, 7], [4, 7], [7, 4]))
    assert torch.equal(both, again)
    assert torch.equal(both, swapped.flip(0))
    assert (both[0] - both[1]).abs().max() > 0.01
    # In double precision, for the reason above: another batch size rounds differently.
    exact = copy.deepcopy(audioldm).double(), copy.deepcopy(binder).double()
    both, alone = make([4, 7], *exact), make([7], *exact)
    assert (both[1] - alone[0]).abs().max() <= 1e-4


class Cancelled(Exception):
    pass


def test_cancel_stops_at_once_and_the_next_run_is_whole(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    settings = AlignSettings(inner_steps=3)
    before = stacked(run(audioldm, binder, video, settings=settings))
    heard: list[Progress] = []

    def callback(progress: Progress) -> None:
        heard.append(progress)
        if progress.step == 2 and progress.inner == 1:
            raise Cancelled

    with counted(binder) as calls, pytest.raises(Cancelled):
        run(audioldm, binder, video, settings=settings, callback=callback)
    assert (heard[-1].step, heard[-1].inner) == (2, 1)
    assert len(calls) == 5  # three inner steps of the first guided step, two of the second, nothing after the cancel
    assert torch.equal(stacked(run(audioldm, binder, video, settings=settings)), before)


@pytest.mark.parametrize("start_fraction", [0.0, 1.0])
def test_one_step_works(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, start_fraction: float) -> None:
    result = run(audioldm, binder, video, steps=1, settings=AlignSettings(start_fraction=start_fraction))
    assert len(result.trace.points) == (start_fraction == 0)
    assert result.waveforms[0].samples.shape == (1, SAMPLES)


@pytest.mark.parametrize("start_fraction, guided", [(0.0, [0, 1, 2, 3, 4]), (0.2, [2, 3, 4]), (0.5, [3, 4]), (1.0, [])])
def test_start_fraction(
    audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, start_fraction: float, guided: list[int]
) -> None:
    trace = run(audioldm, binder, video, steps=5, settings=AlignSettings(start_fraction=start_fraction)).trace
    assert [point.step for point in trace.points] == guided


def test_runs_inside_no_grad_and_leaves_grad_mode_alone(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    outside = stacked(run(audioldm, binder, video))
    assert torch.is_grad_enabled()
    with torch.no_grad():
        assert torch.equal(stacked(run(audioldm, binder, video)), outside)
    assert all(p.grad is None for model in (audioldm, binder) for p in model.parameters())
