"""Features: what the Fréchet, kernel and divergence measures are taken on. Any callable of the right kind will do."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..binders.fbank import FRAME, fbank
from ..errors import InputError
from ..media.resample import mono
from ..media.types import Video, Waveform, fit_length

MEL_BANDS = 32
GRID = 4


@dataclass(frozen=True)
class Features:
    """rows: (n, D), one for the whole or one for each window of it.  logits: (K,) class logits of the whole, or None."""

    rows: Tensor
    logits: Tensor | None = None


SoundExtractor = Callable[[Waveform], Features]
VideoExtractor = Callable[[Video], Features]


def mel_profile(sound: Waveform) -> Features:
    """(1, 64): mean and deviation over time of 32 log-mel bands at 16 kHz. Needs no weights; not a published feature."""
    samples = mono(sound, 16000)
    bands = fbank(fit_length(samples, max(len(samples), 2 * FRAME)), bins=MEL_BANDS)  # (frames, 32)
    return Features(torch.cat([bands.mean(0), bands.std(0)])[None])


def look_profile(video: Video) -> Features:
    """(1, 96): mean colour and mean frame-to-frame change of a 4 x 4 grid, -1..1. Needs no weights; not published."""
    total = change = torch.zeros(3, GRID, GRID)
    previous, count = None, len(video.times_s)
    for frame in video.frames(range(count)):
        small = interpolate(frame[None], size=(GRID, GRID), mode="area")[0]
        total = total + small
        if previous is not None:
            change = change + (small - previous).abs()
        previous = small
    return Features(torch.cat([total.flatten() / count, change.flatten() / max(count - 1, 1)])[None])


def sound_extractor(name: str) -> SoundExtractor | None:
    """The extractor of a name: none, mel, vggish=FILE, panns=FILE, or a callable as package.module:function."""
    from .published import panns, vggish

    return _extractor("sound features", name, {"mel": mel_profile}, {"vggish": vggish, "panns": panns})


def video_extractor(name: str) -> VideoExtractor | None:
    """The extractor of a name: none, look, i3d=FILE, or a callable as package.module:function."""
    from .published import i3d

    return _extractor("picture features", name, {"look": look_profile}, {"i3d": i3d})


def _extractor(what: str, name: str, own: dict[str, Callable], published: dict[str, Callable]) -> Callable | None:
    if name == "none":
        return None
    if name in own:
        return own[name]
    kind, _, file = name.partition("=")
    if kind in published and file:
        return published[kind](file)
    module, _, function = name.partition(":")
    choices = ", ".join(["none", *own, *(f"{kind}=FILE" for kind in published), "package.module:function"])
    if not function:
        raise InputError(what, f"'{name}'", f"one of {choices}")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(what, f"'{name}', which cannot be imported ({error})", f"one of {choices}") from error
