"""One file measured."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from ..binders.base import Binder
from ..errors import InputError
from ..media.audio_file import audio_track, read_sound, sound_stream
from ..media.timing import picture_stream
from ..media.types import Video, Waveform
from ..media.video_file import VideoFile
from ..metrics.features import (
    Features,
    SoundExtractor,
    VideoExtractor,
    sound_extractor,
    video_extractor,
)
from ..metrics.fit import AVFit, measure_fit
from ..metrics.motion import FLOW_SIDE, Motion, measure_motion

MEASURES = (
    "av_align_one_to_one",
    "av_align_paper",
    "lag_ms",
    "lag_abs_ms",
    "lag_correlation",
    "binder_av",
    "binder_vt",
    "binder_at",
)


@dataclass(frozen=True)
class Options:
    """What is measured. sound_features, picture_features: names of `metrics.features`.  binder: ImageBind's file or
    PE-AV's folder."""

    sound_features: str = "mel"
    picture_features: str = "look"
    flow_side: int = FLOW_SIDE
    binder: str | None = None


@dataclass(frozen=True)
class Tools:
    """What `Options` name, loaded once for each process."""

    options: Options
    sound_features: SoundExtractor | None
    picture_features: VideoExtractor | None
    binder: Binder | None

    @classmethod
    def of(cls, options: Options) -> Tools:
        binder = None
        if options.binder:
            from ..weights import load_binder

            binder = load_binder(options.binder)
        return cls(options, sound_extractor(options.sound_features), video_extractor(options.picture_features), binder)


@dataclass(frozen=True)
class Job:
    """A file to measure.  group: generated or reference.  name: its path below its folder.  path: where it lies.

    partner: the reference file of the same name without suffix; what `path` lacks, picture or sound, is taken from it.
    """

    group: str
    name: str
    path: str
    partner: str | None = None
    prompt: str = ""


@dataclass
class Record:
    """What is known of a file. error: why it could not be measured, or None. Scores are None where undefined."""

    group: str
    name: str
    error: str | None = None
    picture: str | None = None
    sound: str | None = None
    duration_s: float | None = None
    fps: float | None = None
    frames: int | None = None
    onsets: int | None = None
    motions: int | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    words: str = ""
    sound_rows: list[list[float]] | None = None
    sound_logits: list[float] | None = None
    picture_rows: list[list[float]] | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_file(job: Job, tools: Tools) -> tuple[Record, AVFit | None]:
    """The record of a file, and its fit for a plot when it has both picture and sound. Raises InputError if unreadable."""
    started = time.perf_counter()
    record = Record(job.group, job.name)
    video, sound = _read(job, record)
    if video is not None:
        motion = measure_motion(video, side=tools.options.flow_side)
        record.duration_s, record.fps, record.frames = video.duration_s, motion.fps, len(video.times_s)
        if tools.picture_features and record.picture == "own":
            record.picture_rows = _rows(tools.picture_features(video))[0]
    if sound is not None:
        record.duration_s = record.duration_s or sound.duration_s
        if tools.sound_features and record.sound == "own":
            record.sound_rows, record.sound_logits = _rows(tools.sound_features(sound))
    fit = _fit(video, sound, motion, job.prompt, tools, record) if video is not None and sound is not None else None
    record.seconds = time.perf_counter() - started
    return record, fit


def _read(job: Job, record: Record) -> tuple[VideoFile | None, Waveform | None]:
    """The picture and the sound of a job, each from the file itself or else from its partner."""
    has_picture, has_sound = streams(job.path)
    if not (has_picture or has_sound):
        raise InputError(f"file '{job.name}'", "a file without picture and sound", "a sound or video file")
    other_picture, other_sound = streams(job.partner) if job.partner else (False, False)
    video, sound = None, None
    if has_picture or other_picture:
        record.picture = "own" if has_picture else "reference"
        video = VideoFile(job.path if has_picture else job.partner)
        video.check_whole()
    if has_sound and has_picture:
        sound = audio_track(video)
    elif has_sound:
        sound = read_sound(job.path)
    elif other_sound:
        partner = VideoFile(job.partner) if other_picture else None
        sound = audio_track(partner) if partner else read_sound(job.partner)
    if sound is not None:
        record.sound = "own" if has_sound else "reference"
    return video, sound


def streams(path: str) -> tuple[bool, bool]:
    """Whether a file holds a picture (not a cover) and a sound. Raises InputError when it is no media file."""
    try:
        with av.open(path, mode="r") as container:
            return picture_stream(container) is not None, sound_stream(container) is not None
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"file '{Path(path).name}'", f"something that cannot be read ({reason})", "a sound or video file"
        ) from error


def _fit(video: Video, sound: Waveform, motion: Motion, prompt: str, tools: Tools, record: Record) -> AVFit:
    fit = measure_fit(video, sound, motion, binder=tools.binder, prompt=prompt)
    record.onsets, record.motions = len(fit.one_to_one.onsets_s), len(fit.one_to_one.motions_s)
    binder = fit.binder
    lag_ms = None if fit.lag.lag_s is None else 1000 * fit.lag.lag_s
    values = (
        fit.one_to_one.score,
        fit.paper.score,
        lag_ms,
        None if lag_ms is None else abs(lag_ms),
        fit.lag.correlation,
        *((binder.av, binder.vt, binder.at) if binder else (None, None, None)),
    )
    record.scores = dict(zip(MEASURES, values, strict=True))
    record.words = str(fit)
    return fit


def _rows(features: Features) -> tuple[list[list[float]], list[float] | None]:
    return _numbers(features.rows), None if features.logits is None else _numbers(features.logits)


def _numbers(values: Tensor) -> list[Any]:
    return values.detach().float().cpu().tolist()
