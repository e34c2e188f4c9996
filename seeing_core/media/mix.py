"""A new sound beside a video's own: placed, faded, levelled, mixed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import av
import av.filter
import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, interpolate, max_pool1d, pad

from ..errors import InputError, check_number
from .resample import resample
from .types import Waveform, fit_length

Mode = Literal["replace", "mix", "add a track"]
MODES: tuple[str, ...] = get_args(Mode)
LEVEL_RANGE_DB = (-60.0, 24.0)
DUCKING_RANGE_DB = (0.0, 60.0)
LOUDNESS_RANGE_LUFS = (-60.0, -5.0)
OFFSET_RANGE_S = (-3600.0, 3600.0)
FADE_RANGE_S = (0.0, 3600.0)
PEAK = 10 ** (-1 / 20)  # -1 dB, the most that EBU R128 allows
LOUDNESS_WINDOW_S = 0.5  # what is shorter is measured with silence behind it: EBU R128 takes windows of 0.4 s
SILENT_LUFS = -70.0  # of EBU R128's absolute gate
# Ducking: how loud the new sound must be for it to begin and to be complete, and how long before and after it lasts.
HEARD_DB, LOUD_DB = -50.0, -35.0
STEP_S, BEFORE_S, AFTER_S, SLOPE_S = 0.01, 0.05, 0.3, 0.15


@dataclass(frozen=True)
class Mix:
    """How a new sound joins a video that may have one.

    level_db, own_level_db: of the new sound and of the video's own.  ducking_db: how much the video's own is lowered while the
    new one sounds.  offset_s: when the new sound begins; negative leaves its beginning out.  fade_in_s, fade_out_s: of the new
    sound.  loudness_lufs: integrated loudness (EBU R128) that the result, or the new track, is brought to; None leaves it.
    Raises InputError for values out of range.
    """

    mode: str = "replace"
    level_db: float = 0.0
    own_level_db: float = 0.0
    ducking_db: float = 0.0
    offset_s: float = 0.0
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    loudness_lufs: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError("sound", f"'{self.mode}'", "one of " + ", ".join(MODES))
        check_number("level", self.level_db, *LEVEL_RANGE_DB, unit="dB")
        check_number("own level", self.own_level_db, *LEVEL_RANGE_DB, unit="dB")
        check_number("ducking", self.ducking_db, *DUCKING_RANGE_DB, unit="dB")
        check_number("offset", self.offset_s, *OFFSET_RANGE_S, unit="seconds")
        check_number("fade in", self.fade_in_s, *FADE_RANGE_S, unit="seconds")
        check_number("fade out", self.fade_out_s, *FADE_RANGE_S, unit="seconds")
        if self.loudness_lufs is not None:
            check_number("loudness", self.loudness_lufs, *LOUDNESS_RANGE_LUFS, unit="LUFS")

    def end_s(self, sound: Waveform) -> float:
        """When the new sound is over."""
        return self.offset_s + sound.duration_s

    def tracks(self, sound: Waveform, own: Waveform | None, length_s: float) -> list[Waveform]:
        """The sound tracks of a video of this length, each exactly as long, the video's own first where both are kept."""
        new = _faded(_placed(sound, self.offset_s, length_s), self, sound)
        new = Waveform(new.samples * _gain(self.level_db), new.rate_hz)
        if own is not None:
            own = Waveform(fit_length(own.samples, round(length_s * own.rate_hz)), own.rate_hz)
        if self.mode == "replace" or own is None:
            return [self._levelled(new)]
        if self.mode == "add a track":
            return [Waveform(own.samples * _gain(self.own_level_db), own.rate_hz), self._levelled(new)]
        return [self._levelled(_mixed(new, own, self))]

    def _levelled(self, waveform: Waveform) -> Waveform:
        """At the loudness asked for; quieter than that, and than it was, only where it would be cut off at full scale."""
        samples = waveform.samples
        if self.loudness_lufs is not None and (measured := loudness_lufs(waveform)) is not None:
            samples = samples * _gain(self.loudness_lufs - measured)
            return Waveform(samples * min(1.0, PEAK / float(samples.abs().max())), waveform.rate_hz)
        changed = self != Mix()
        loudest = float(samples.abs().max())
        return Waveform(samples / loudest if changed and loudest > 1 else samples, waveform.rate_hz)


def loudness_lufs(waveform: Waveform) -> float | None:
    """Integrated loudness by EBU R128 (ITU-R BS.1770-4) of one or two channels; None for what is silent to it. FFmpeg's filter."""
    samples = fit_length(
        waveform.samples.float(), max(waveform.samples.shape[1], math.ceil(LOUDNESS_WINDOW_S * waveform.rate_hz))
    )
    layout, clock = "mono" if len(samples) == 1 else "stereo", Fraction(1, waveform.rate_hz)
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=waveform.rate_hz, format="flt", layout=layout, time_base=clock)
    measure, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(measure)
    measure.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).contiguous().numpy(), format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = waveform.rate_hz, 0, clock
    graph.push(frame)
    graph.push(None)
    measured = SILENT_LUFS
    try:
        while True:
            measured = float(graph.pull().metadata.get("lavfi.r128.I", measured))
    except (av.error.EOFError, av.error.BlockingIOError):
        return measured if measured > SILENT_LUFS else None


def _gain(db: float) -> float:
    return 10 ** (db / 20)


def _placed(sound: Waveform, offset_s: float, length_s: float) -> Waveform:
    """From the time of the picture's first frame."""
    shift = round(offset_s * sound.rate_hz)
    samples = pad(sound.samples, (max(shift, 0), 0))[:, max(-shift, 0) :]
    return Waveform(fit_length(samples, max(1, round(length_s * sound.rate_hz))), sound.rate_hz)


def _faded(placed: Waveform, mix: Mix, sound: Waveform) -> Waveform:
    """Fades over what is left of the sound between the picture's first frame and its end."""
    begin_s, end_s = max(0.0, mix.offset_s), min(placed.duration_s, mix.end_s(sound))
    times_s = torch.arange(placed.samples.shape[1]) / placed.rate_hz
    gain = torch.ones_like(times_s)
    if mix.fade_in_s:
        gain = gain * ((times_s - begin_s) / mix.fade_in_s).clamp(0, 1)
    if mix.fade_out_s:
        gain = gain * ((end_s - times_s) / mix.fade_out_s).clamp(0, 1)
    return Waveform(placed.samples * torch.sin(gain * torch.pi / 2), placed.rate_hz)


def _mixed(new: Waveform, own: Waveform, mix: Mix) -> Waveform:
    rate_hz = max(new.rate_hz, own.rate_hz)
    first, second = (resample(one.samples, one.rate_hz, rate_hz) for one in (new, own))
    length, channels = first.shape[1], max(len(first), len(second))
    second = fit_length(second, length) * _gain(mix.own_level_db)
    if mix.ducking_db:
        second = second * 10 ** (-mix.ducking_db / 20 * presence(first, rate_hz))
    return Waveform(first.expand(channels, -1) + second.expand(channels, -1), rate_hz)


def presence(samples: Tensor, rate_hz: int) -> Tensor:
    """(channels, n) -> (n,), 0..1: how much of it is heard, from shortly before it starts until a while after it ends."""
    step = max(1, round(STEP_S * rate_hz))
    power = samples.square().mean(0)
    blocks = avg_pool1d(pad(power, (0, -len(power) % step))[None], step)[0]
    heard = ((10 * blocks.clamp_min(1e-12).log10() - HEARD_DB) / (LOUD_DB - HEARD_DB)).clamp(0, 1)
    before, after, slope = (round(length / STEP_S) for length in (BEFORE_S + SLOPE_S / 2, AFTER_S, SLOPE_S))
    held = max_pool1d(pad(heard, (after, before))[None], before + after + 1, 1)
    smooth = avg_pool1d(pad(held, (slope // 2, slope - 1 - slope // 2), mode="replicate"), slope, 1)
    return interpolate(smooth[None], len(blocks) * step, mode="linear")[0, 0, : len(power)]
