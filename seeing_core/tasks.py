"""The four tasks, each from media in to media out.

Each takes one input, or several of one length as a batch, each with a prompt and a seed of its own; what is made of one does
not depend on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .binders.base import Binder, Embedded, embed_waveform
from .errors import InputError
from .generators.base import AudioGenerator, AudioModel, VideoModel
from .guidance.clips import AudioView, VideoView, video_windows
from .guidance.losses import OnsetMotionTerm, Term, WeightedLoss
from .guidance.prompt_completion import complete_prompts, completion_notes, draw_phrase, give_way_notes, left_open
from .guidance.targets import Images, embed_media, embed_windows
from .guidance.terms import event_terms, fit_terms, joint_terms, prompt_and_target_terms, weighted
from .media.types import DURATION_RANGE_S, Segment, Video, Waveform, check_duration
from .metrics.events import movement_events, sound_events
from .metrics.motion import Motion, measure_motion
from .run import RunConfig, TaskResult, as_batch, common_duration, finished_videos, finished_waveforms, run_guided, unread_notes

__all__ = ["RunConfig", "TaskResult", "audio_to_video", "image_to_audio", "video_and_audio", "video_to_audio"]
SILENCE = 1e-4  # peak below which a sound has nothing to fit to
Windows = Sequence[Sequence[Segment]]


def video_to_audio(
    model: AudioModel,
    binder: Binder,
    video: Video | Sequence[Video],
    run: RunConfig = RunConfig(),
    *,
    prompt: str | Sequence[str] = "",
    negative_prompt: str = "",
    duration_s: float | None = None,
    guidance_scale: float | None = None,
) -> TaskResult:
    """Audio that fits a video (V2A): F(e_a, e_v) + F(e_a, e_p) (eq. 14), in time with what moves.

    duration_s: seconds of audio, by default the video's. A video longer than 10 s is compared window by window, each with its
    own part. An empty prompt leaves the text term out. Raises InputError on bad input.
    """
    videos, prompts = as_batch(run, "video", video, prompt)
    for one in videos:
        if len(one.times_s) < 2:
            raise InputError(
                "video", f"{len(one.times_s)} frame", "at least two frames", "For a still image use the image to audio task."
            )
    duration_s = check_duration(common_duration("video", videos) if duration_s is None else duration_s)
    motion: list[Motion] = []

    def vision(windows: Windows) -> list[Embedded]:
        return embed_windows(
            windows, [one.duration_s for one in videos], lambda i, segments: binder.embed_video(videos[i], segments)
        )

    def event_times_s() -> list[list[float]]:
        motion.extend(measure_motion(one, callback=run.motion_callback) for one in videos)
        return [movement_events(one).chosen() for one in motion]

    result = _make_audio(
        model,
        binder,
        vision,
        event_times_s,
        run,
        prompts,
        negative_prompt,
        duration_s=duration_s,
        guidance_scale=guidance_scale,
    )
    return replace(result, motion=tuple(motion))


def image_to_audio(
    model: AudioModel,
    binder: Binder,
    images: Tensor | Sequence[Tensor],
    run: RunConfig = RunConfig(),
    *,
    prompt: str | Sequence[str] = "",
    negative_prompt: str = "",
    duration_s: float = 10.0,
    guidance_scale: float | None = None,
) -> TaskResult:
    """Audio that fits one or several images (I2A): the loop and the loss of V2A, the images' mean as the target.

    images: (N, 3, H, W), 0..1; a list of them is a batch.  duration_s: seconds of audio. Raises InputError on bad input.
    """
    check_duration(duration_s)
    rows, prompts = as_batch(run, "images", images, prompt)

    def vision(windows: Windows) -> list[Embedded]:
        vision_emb = torch.stack([embed_media(binder, Images(one), beside="audio") for one in rows])  # (rows, D)
        return [Embedded(vision_emb[:, None].expand(-1, len(segments), -1)) for segments in windows]

    return _make_audio(
        model, binder, vision, lambda: [[]], run, prompts, negative_prompt, duration_s=duration_s, guidance_scale=guidance_scale
    )


def _make_audio(
    model: AudioModel,
    binder: Binder,
    vision: Callable[[Windows], list[Embedded]],
    event_times_s: Callable[[], list[list[float]]],
    run: RunConfig,
    prompts: Sequence[str],
    negative_prompt: str,
    **conditions: Any,
) -> TaskResult:
    """V2A and I2A, which differ only in the vision target.

    vision: the segments of each window -> their embeddings, clips (rows, S, D) each.  event_times_s: when what is seen moves.
    conditions: as `AudioModel.conditioned` takes them.
    """
    settings = run.settings
    sees = settings.uses_target and settings.vision_weight > 0
    notes = unread_notes([model, binder], [*prompts, negative_prompt])

    def conditioned(prompts: Sequence[str]) -> AudioGenerator:
        return model.conditioned(prompts, negative_prompt, low_memory=run.low_memory, **conditions)

    generator = conditioned(prompts)
    windows = AudioView(generator, binder).all_segments_s()
    vision_emb = vision(windows) if sees else []
    given, prompts = prompts, complete_prompts(binder, prompts, vision_emb, "vision", settings)
    if prompts != given:
        notes += completion_notes(given, prompts)
        generator = conditioned(prompts)
    weight = settings.binder_weight * settings.vision_weight
    share = left_open(binder, prompts, vision_emb, "vision", settings)
    notes += give_way_notes("vision", share)
    fit: Sequence[Sequence[Term]] = [fit_terms("vision", weight, "audio", own, settings, share) for own in vision_emb]
    common = prompt_and_target_terms(binder, "audio", prompts, settings, run.targets)
    sync = event_terms("audio", settings, run.event_times, generator.duration_s, event_times_s if sees else lambda: [[]])
    loss = WeightedLoss({"audio": AudioView(generator, binder)}, [[*own, *common] for own in fit or [[]] * len(windows)], sync)
    (z,), trace = run_guided([generator], binder, loss, run, notes)
    return TaskResult(trace, finished_waveforms(generator, z), prompts=tuple(prompts))


def audio_to_video(
    model: VideoModel,
    binder: Binder,
    audio: Waveform | Sequence[Waveform],
    run: RunConfig = RunConfig(steps=25),
    *,
    prompt: str | Sequence[str] = "",
    negative_prompt: str = "",
    duration_s: float | None = None,
    fps: float = 8.0,
    width: int = 0,
    height: int = 0,
    guidance_scale: float | None = None,
) -> TaskResult:
    """A video that fits audio (A2V): F(e_v, e_a) + F(e_v, e_p) (eq. 15), in time with what sounds.

    duration_s: seconds of video, by default the audio's.  width, height: pixels; 0 is the model's own size.
    Silence is noted in the trace: there is nothing to fit to. Raises InputError on bad input.
    """
    settings = run.settings
    waveforms, prompts = as_batch(run, "audio", audio, prompt)
    duration_s = check_duration(common_duration("audio", waveforms) if duration_s is None else duration_s)
    notes = unread_notes([model, binder], [*prompts, negative_prompt])
    windows = video_windows(binder, max(1, round(duration_s * fps)) / fps)
    audio_emb: list[Embedded] = []
    hears = settings.uses_target and settings.audio_weight > 0
    if hears:
        audio_emb = embed_windows(
            windows, [one.duration_s for one in waveforms], lambda i, segments: embed_waveform(binder, waveforms[i], segments)
        )
        if any(one.samples.abs().max() < SILENCE for one in waveforms):
            notes.append("audio: it is silent, so there is nothing to fit the video to")
    given, prompts = prompts, complete_prompts(binder, prompts, audio_emb, "audio", settings)
    notes += completion_notes(given, prompts)
    generator = model.conditioned(
        prompts,
        negative_prompt,
        duration_s=duration_s,
        fps=fps,
        width=width,
        height=height,
        guidance_scale=guidance_scale,
        low_memory=run.low_memory,
    )
    weight = settings.binder_weight * settings.audio_weight
    share = left_open(binder, prompts, audio_emb, "audio", settings)
    notes += give_way_notes("audio", share)
    fit: Sequence[Sequence[Term]] = [fit_terms("audio", weight, "vision", own, settings, share) for own in audio_emb]
    common = prompt_and_target_terms(binder, "vision", prompts, settings, run.targets)
    onsets = (lambda: [sound_events(one).chosen() for one in waveforms]) if hears else (lambda: [[]])
    moves = generator.frames > 1
    sync = event_terms("vision", settings, run.event_times, generator.frames / fps, onsets) if moves else []
    view = VideoView(generator, binder, windows)
    loss = WeightedLoss({"vision": view}, [[*common, *own] for own in fit or [[]] * len(windows)], sync)
    (z,), trace = run_guided([generator], binder, loss, run, notes)
    return TaskResult(trace, videos=finished_videos(generator, z), prompts=tuple(prompts))


def video_and_audio(
    video_model: VideoModel,
    audio_model: AudioModel,
    binder: Binder,
    run: RunConfig = RunConfig(steps=25),
    *,
    prompt: str | Sequence[str],
    negative_prompt: str = "",
    duration_s: float = 2.0,
    fps: float = 8.0,
    width: int = 0,
    height: int = 0,
    video_guidance_scale: float | None = None,
    audio_guidance_scale: float | None = None,
) -> TaskResult:
    """A video and its audio from a text (Joint-VA, Algorithm 1): both generators in lock-step, the triangle loss of eq. 16.

    The audio lasts exactly as long as the frames: round(duration_s * fps) / fps seconds, one frame more where that is less than
    a sound may last. Raises InputError on bad input.
    """
    settings = run.settings
    frames = max(round(check_duration(duration_s) * fps), math.ceil(DURATION_RANGE_S[0] * fps))
    _, prompts = as_batch(run, "prompt", None, prompt)
    notes = unread_notes([video_model, audio_model, binder], [*prompts, negative_prompt])
    if any(settings.completes(one) for one in prompts):  # one phrase for both, drawn by each seed
        given = prompts if len(prompts) > 1 else list(prompts) * len(run.seeds)
        prompts = [
            draw_phrase(binder, one, seed) if settings.completes(one) else one
            for one, seed in zip(given, run.seeds, strict=True)
        ]
        notes += completion_notes(given, prompts)
    video = video_model.conditioned(
        prompts,
        negative_prompt,
        duration_s=frames / fps,
        fps=fps,
        width=width,
        height=height,
        guidance_scale=video_guidance_scale,
        low_memory=run.low_memory,
    )
    audio = audio_model.conditioned(
        prompts, negative_prompt, duration_s=frames / fps, guidance_scale=audio_guidance_scale, low_memory=run.low_memory
    )
    audio_view = AudioView(audio, binder)
    windows = audio_view.all_segments_s()
    terms = joint_terms(binder, prompts, settings, run.targets)
    sync = weighted([OnsetMotionTerm(settings.sync_weight)]) if frames > 1 else []
    loss = WeightedLoss({"vision": VideoView(video, binder, windows), "audio": audio_view}, [terms] * len(windows), sync)
    (z_v, z_a), trace = run_guided([video, audio], binder, loss, run, notes)
    return TaskResult(trace, finished_waveforms(audio, z_a), finished_videos(video, z_v), prompts=tuple(prompts))
