"""Video to audio from end to end: exact lengths, long sounds in windows, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from seeing_core.binders.imagebind import ImageBind
from seeing_core.binders.remembering import Memory
from seeing_core.errors import InputError
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.generators.windows import blend, split
from seeing_core.guidance.settings import AlignSettings
from seeing_core.media.types import VideoFrames
from seeing_core.media.video_file import VideoFile
from seeing_core.tasks import RunConfig, video_to_audio

UNGUIDED_RUN = RunConfig(steps=1, settings=AlignSettings(strength=0))


@contextmanager
def largest_inputs(*modules: nn.Module) -> Iterator[list[int]]:
    """The largest first argument, in numbers, that each module's forward is given."""
    largest = [0] * len(modules)

    def watch(place: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            largest[place] = max(largest[place], args[0].numel())

        return hook

    hooks = [module.register_forward_pre_hook(watch(place)) for place, module in enumerate(modules)]
    yield largest
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("duration_s", [0.3, 0.31, 1 / 3, 2.0, 5.28, 9.99, 10.24, 10.25, 13.7, 25.0])
def test_the_sound_is_exactly_as_long_as_asked(
    audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, duration_s: float
) -> None:
    [sound] = video_to_audio(audioldm, binder, video, UNGUIDED_RUN, duration_s=duration_s).waveforms
    assert sound.samples.shape == (1, round(duration_s * 16000)) and sound.rate_hz == 16000
    assert sound.samples.abs().max() <= 1 and sound.samples[:, -160:].std() > 0


@pytest.mark.parametrize("fps", [0.5, 7.3, 23.976, 30, 60])
def test_by_default_it_is_as_long_as_the_video(audioldm: AudioLDM, binder: ImageBind, fps: float) -> None:
    frames = max(2, math.ceil(fps))
    [sound] = video_to_audio(audioldm, binder, VideoFrames(torch.rand(frames, 3, 8, 8), fps), UNGUIDED_RUN).waveforms
    assert sound.samples.shape == (1, round(frames / fps * 16000))


@pytest.mark.parametrize("duration_s", [0.5, 3.0, 12.0])
def test_guided_sound_shorter_and_longer_than_the_video(
    audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, duration_s: float
) -> None:
    run = RunConfig(steps=1, settings=AlignSettings(start_fraction=0))
    result = video_to_audio(audioldm, binder, video, run, prompt="rain", duration_s=duration_s)
    assert result.waveforms[0].samples.shape == (1, round(duration_s * 16000))
    assert len(result.trace.points) == 1


def test_a_video_from_disk(audioldm: AudioLDM, binder: ImageBind, real_video: Callable[[str], Path]) -> None:
    result = video_to_audio(audioldm, binder, VideoFile(str(real_video("bigbuckbunny"))), RunConfig(steps=3), prompt="birds")
    assert result.waveforms[0].samples.shape == (1, 84480) and len(result.trace.points) == 2
    assert set(result.trace.points[0].terms) == {"vision", "text"}
    assert "paper" in str(result.trace)


def test_a_long_sound_takes_no_more_memory_than_one_window(audioldm: AudioLDM, binder: ImageBind) -> None:
    video = VideoFrames(torch.rand(50, 3, 8, 8), 2)
    run = RunConfig(steps=1, settings=AlignSettings(start_fraction=0, mode="unet", prompt_strength=1))
    watched = audioldm.unet.conv_in, audioldm.vae.decoder.conv_in, audioldm.vocoder.conv_pre
    stems = [binder.towers.modality_preprocessors[tower].rgbt_stem.proj for tower in ("audio", "vision")]
    seen = []
    for duration_s in (10.24, 25.0):
        binder._memory = Memory()
        with largest_inputs(*watched, *stems) as largest:
            video_to_audio(audioldm, binder, video, run, prompt="rain", duration_s=duration_s)
        seen.append(tuple(largest))
    assert seen[0][:-1] == seen[1][:-1]
    assert seen[1][-1] <= 32 * seen[0][-1] // 11  # the vision tower takes 32 segments at once; one window has 11
    assert seen[0][:2] == (2 * 8 * 256 * 16, 8 * 256 * 16)  # guided and unguided prompt in one batch; one latent


@given(length=st.integers(1, 2000), size=st.integers(2, 300), share=st.floats(0, 0.9))
def test_windows_cover_everything_and_fade_into_each_other(length: int, size: int, share: float) -> None:
    overlap = int(size * share)
    windows = split(length, size, overlap)
    assert windows[0].start == 0 and windows[-1].stop == length
    assert all(window.stop - window.start == min(size, length) for window in windows)
    assert all(b.start > a.start and a.stop - b.start >= overlap for a, b in zip(windows, windows[1:]))
    whole = torch.rand(2, length, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
    ones, copied = (
        blend(windows, lambda window: source[:, window.start : window.stop], dim=1) for source in (whole * 0 + 1, whole)
    )
    torch.testing.assert_close(ones, torch.ones_like(whole))
    torch.testing.assert_close(copied, whole)


def test_two_windows_fade_linearly() -> None:
    blended = blend(split(10, 7, 4), lambda window: torch.full((1, 7), float(window.start > 0)), dim=1)
    torch.testing.assert_close(blended, torch.tensor([[0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1]]))


def test_one_window_is_no_window(audioldm: AudioLDM) -> None:
    generator = audioldm.conditioned(["rain"], duration_s=10.24, guidance_scale=1)
    z = generator.initial_noise([0, 1])
    level, prompt = generator.noise_levels(4)[1], generator.initial_prompt(2)
    with torch.no_grad():
        eps = audioldm.unet(z, level.t, encoder_hidden_states=None, class_labels=prompt).sample
        assert torch.equal(generator.predict_noise(z, level, prompt), eps)
        whole = audioldm.vocode(audioldm.decode_mel(z))
        assert torch.equal(generator.decode_all(z)[:, 0], whole[:, :163840])


@pytest.mark.parametrize("prompt", ["", "  \n", "\u2603 \U0001f436 ni\u00f1o \u96e8"])
def test_odd_prompts_are_allowed(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, prompt: str) -> None:
    result = video_to_audio(audioldm, binder, video, RunConfig(steps=3), prompt=prompt, negative_prompt=prompt, duration_s=0.5)
    assert set(result.trace.points[0].terms) == ({"vision", "text"} if prompt.strip() else {"vision"})
    assert result.trace.notes == ()


def test_a_long_prompt_is_cut_and_says_so(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    prompt = " ".join(f"word{i}" for i in range(120))
    notes = video_to_audio(audioldm, binder, video, RunConfig(steps=3), prompt=prompt, duration_s=0.5).trace.notes
    [clap, imagebind] = sorted(notes)
    assert clap.startswith("prompt: AudioLDM did not read the end of it: '")
    assert imagebind.startswith("prompt: ImageBind did not read the end of it: '")
    for note in notes:
        lost = note.split("'")[1].replace(" ", "")
        assert prompt.replace(" ", "").endswith(lost) and 0 < len(lost) < len(prompt)


def test_a_video_of_one_frame(audioldm: AudioLDM, binder: ImageBind, write_video: Callable[..., Path], tmp_path: Path) -> None:
    on_disk = VideoFile(str(write_video(tmp_path / "one.mp4", [0], [100])))
    for video in (VideoFrames(torch.rand(1, 3, 8, 8), 1), on_disk):
        with pytest.raises(InputError, match="^video: received 1 frame; expected at least two frames"):
            video_to_audio(audioldm, binder, video, UNGUIDED_RUN)


@pytest.mark.parametrize("duration_s", [0, -1, 0.2, math.nan, math.inf, 1e9])
def test_bad_duration(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames, duration_s: float) -> None:
    with pytest.raises(InputError, match=rf"^duration: received {duration_s}; expected a number from 0.3 to 3600"):
        video_to_audio(audioldm, binder, video, UNGUIDED_RUN, duration_s=duration_s)


@pytest.mark.parametrize("frames, fps", [(2, 60), (50, 0.01)])
def test_videos_too_short_or_too_long(audioldm: AudioLDM, binder: ImageBind, frames: int, fps: float) -> None:
    with pytest.raises(InputError, match="^duration: received"):
        video_to_audio(audioldm, binder, VideoFrames(torch.rand(frames, 3, 8, 8), fps), UNGUIDED_RUN)


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_bad_steps(steps: int) -> None:
    with pytest.raises(InputError, match=rf"^steps: received {steps}; expected a number from 1 to 1000"):
        RunConfig(steps=steps)


@pytest.mark.parametrize(
    "setting, name",
    [
        ({"mode": "magic"}, "mode"),
        ({"strength": -1}, "strength"),
        ({"strength": math.nan}, "strength"),
        ({"prompt_strength": math.inf}, "prompt tuning strength"),
        ({"start_fraction": 1.1}, "start fraction"),
        ({"end_fraction": -0.1}, "end fraction"),
        ({"inner_steps": 0}, "inner"),
        ({"vision_weight": -1}, "vision weight"),
        ({"audio_weight": math.nan}, "audio weight"),
        ({"text_weight": 101}, "text weight"),
    ],
)
def test_bad_settings(setting: dict[str, object], name: str) -> None:
    [value] = setting.values()
    with pytest.raises(InputError, match=rf"^{name}.*: received '?{value}'?; expected "):
        AlignSettings(**setting)


def test_bad_guidance_scale(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    with pytest.raises(InputError, match="^guidance scale: received nan; expected a number from 0 to 100"):
        video_to_audio(audioldm, binder, video, UNGUIDED_RUN, guidance_scale=math.nan)


def test_a_run_that_ends_in_nan_says_what_to_lower(audioldm: AudioLDM, binder: ImageBind, video: VideoFrames) -> None:
    ruined = audioldm.unet.conv_out.register_forward_hook(lambda module, args, output: output * torch.nan)
    try:
        with pytest.raises(InputError, match="^alignment: received .*NaN or infinite.*Lower the strength"):
            video_to_audio(audioldm, binder, video, UNGUIDED_RUN, duration_s=0.5)
    finally:
        ruined.remove()
