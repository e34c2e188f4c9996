"""Candidates side by side: a labelled contact sheet, and a video in which one after the other plays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..errors import InputError
from ..media.resample import mono, resample
from ..media.types import Video, Waveform, fit_length
from .images import stacked, to_frame, to_image
from .preview import frame_strip, sound_picture

MAX_CANDIDATES = 6
COLUMNS = 3
CELL_WIDTH, SOUND_HEIGHT, BAND, GAP = 384, 192, 30, 8
MOST_PICTURE_HEIGHT = 384
STRIP_FRAMES = 4
PAPER, BAND_COLOUR, INK, FAINT, LIT = (24, 24, 32), (40, 40, 52), (232, 232, 240), (150, 150, 165), (126, 224, 138)
SHOWN_RATE_HZ = 16000  # what `sound_picture` draws
SOUND_ONLY_FPS = 8.0


@dataclass(frozen=True)
class Candidate:
    """One of the things compared.  video: None when it is a sound alone.  words: its scores in a line."""

    label: str
    sound: Waveform
    video: Video | None = None
    words: str = ""

    @property
    def duration_s(self) -> float:
        return self.sound.duration_s if self.video is None else self.video.duration_s

    @property
    def times_s(self) -> Tensor:
        """(N,) when each frame of its part of the reel appears, from its own start."""
        if self.video is not None:
            return self.video.times_s
        return torch.arange(max(1, round(self.duration_s * SOUND_ONLY_FPS)), dtype=torch.float64) / SOUND_ONLY_FPS


def check_count(candidates: int) -> None:
    """Raises InputError unless there are one to `MAX_CANDIDATES`."""
    if not 1 <= candidates <= MAX_CANDIDATES:
        raise InputError(
            "candidates",
            f"{candidates} candidates",
            f"1 to {MAX_CANDIDATES}",
            "A batch of sounds counts as many." if candidates else "Connect a sound or a video.",
        )


def contact_sheet(candidates: Sequence[Candidate]) -> Image.Image:
    """All of them side by side: label, four frames, waveform and spectrogram, scores."""
    check_count(len(candidates))
    return _arranged([_Cell.of(candidate, STRIP_FRAMES).drawn() for candidate in candidates])


class Reel:
    """The contact sheet as a `Video`: one candidate after the other plays in its place, a line showing where it is.

    sound: theirs, one after the other, mono, at the highest of their rates.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        check_count(len(candidates))
        self.candidates = tuple(candidates)
        self.cells = [_Cell.of(candidate, 1) for candidate in candidates]
        ends = np.cumsum([candidate.duration_s for candidate in candidates])
        self.duration_s, self.starts_s = float(ends[-1]), [0.0, *ends[:-1].tolist()]

    @cached_property
    def times_s(self) -> Tensor:
        return torch.cat([start + one.times_s for start, one in zip(self.starts_s, self.candidates, strict=True)])

    @cached_property
    def sound(self) -> Waveform:
        rate_hz = max(one.sound.rate_hz for one in self.candidates)
        parts = [
            fit_length(
                resample(one.sound.samples.mean(0, keepdim=True).cpu().float(), one.sound.rate_hz, rate_hz),
                round(one.duration_s * rate_hz),
            )
            for one in self.candidates
        ]
        return Waveform(torch.cat(parts, -1), rate_hz)

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """The frames with these rising indices, each (3, H, W), 0..1, one at a time."""
        wanted, first = set(indices), 0
        resting = [cell.drawn() for cell in self.cells]
        for number, (candidate, cell) in enumerate(zip(self.candidates, self.cells, strict=True)):
            times = candidate.times_s.tolist()
            own = [index for index in range(len(times)) if first + index in wanted]
            pictures = candidate.video.frames(own) if candidate.video is not None else iter([None] * len(own))
            for index, picture in zip(own, pictures, strict=True):
                playing = cell.drawn(picture, times[index] / candidate.duration_s)
                yield to_frame(_arranged([*resting[:number], playing, *resting[number + 1 :]]))
            first += len(times)


@dataclass(frozen=True)
class _Cell:
    """A candidate as drawn.  picture: what is shown of its video while it does not play."""

    candidate: Candidate
    picture: Image.Image | None
    sound: Image.Image

    @classmethod
    def of(cls, candidate: Candidate, frames: int) -> _Cell:
        sound = sound_picture(mono(candidate.sound, SHOWN_RATE_HZ)).resize((CELL_WIDTH, SOUND_HEIGHT))
        if candidate.video is None:
            return cls(candidate, None, sound)
        count = len(candidate.video.times_s)
        indices = sorted({round(i * (count - 1) / max(frames - 1, 1)) for i in range(frames)})
        strip = frame_strip(torch.stack(list(candidate.video.frames(indices))))
        return cls(candidate, _fitted(strip), sound)

    def drawn(self, playing: Tensor | None = None, part: float | None = None) -> Image.Image:
        """The cell.  playing: (3, H, W), the frame to show instead.  part: how much of it has been heard, 0 to 1."""
        picture = self.picture if playing is None else _fitted(to_image(playing))
        lit = part is not None
        rows = [
            _band(self.candidate.label, INK, LIT if lit else None),
            picture,
            self.sound.copy(),
            _band(self.candidate.words, FAINT),
        ]
        if lit:
            x = part * CELL_WIDTH
            ImageDraw.Draw(rows[2]).line([(x, 0), (x, SOUND_HEIGHT)], fill=LIT, width=2)
        return stacked([row for row in rows if row is not None])


def _band(text: str, ink: tuple[int, int, int], mark: tuple[int, int, int] | None = None) -> Image.Image:
    band = Image.new("RGB", (CELL_WIDTH, BAND), BAND_COLOUR)
    draw = ImageDraw.Draw(band)
    if mark:
        draw.rectangle((0, 0, 7, BAND), fill=mark)
    draw.text((14, 7), text, fill=mark or ink, font_size=15)
    return band


def _fitted(picture: Image.Image) -> Image.Image:
    """As wide as a cell; a tall one is made as high as is allowed, between black margins."""
    scale = min(CELL_WIDTH / picture.width, MOST_PICTURE_HEIGHT / picture.height)
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    whole = Image.new("RGB", (CELL_WIDTH, small.height))
    whole.paste(small, ((CELL_WIDTH - small.width) // 2, 0))
    return whole


def _arranged(cells: Sequence[Image.Image]) -> Image.Image:
    columns = min(COLUMNS, len(cells)) if len(cells) != 4 else 2
    height = max(cell.height for cell in cells)
    size = (columns * (CELL_WIDTH + GAP) + GAP, math.ceil(len(cells) / columns) * (height + GAP) + GAP)
    whole = Image.new("RGB", size, PAPER)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        whole.paste(cell, (GAP + column * (CELL_WIDTH + GAP), GAP + row * (height + GAP)))
    return whole
