"""The small pictures of what forms."""

from __future__ import annotations

import numpy as np
import torch

from seeing_core.guidance.loop import Preview
from seeing_core.visuals.preview import (
    CURVE_HEIGHT,
    LOSS,
    PAPER,
    WIDTH,
    WORDS_HEIGHT,
    loss_curve,
    preview,
    sound_picture,
)
from tests.made import bursts


def spectrum(samples: torch.Tensor) -> np.ndarray:
    return np.asarray(sound_picture(samples))[100:].astype(int).sum(-1)


def test_silence_is_dark_and_a_burst_is_bright_in_its_place() -> None:
    assert spectrum(torch.zeros(16000)).max() < 100
    loud = spectrum(bursts([0.5], 1.0).samples[0]).max(0)
    assert abs(int(loud.argmax()) - WIDTH // 2) < 20 and loud[: WIDTH // 3].max() < 200


def test_loss_curve_falls_to_the_right_as_far_as_the_steps_are_done() -> None:
    curve = np.asarray(loss_curve([(step, 1.0 - step / 10) for step in range(5)], 10))[WORDS_HEIGHT:]
    rows, columns = np.nonzero((curve == LOSS).all(-1))
    assert columns.max() <= WIDTH * 0.5 and columns.max() > WIDTH * 0.4
    assert rows[columns < 40].mean() < rows[columns > WIDTH * 0.4].mean()  # further down is smaller


def test_preview_stacks_frames_sound_and_loss() -> None:
    whole = preview(
        [Preview("vision", torch.rand(1, 8, 3, 16, 16), 8), Preview("audio", torch.zeros(1, 44100), 44100)], [(0, 0.5)], 4
    )
    assert whole.size == (WIDTH, WIDTH // 4 + 256 + CURVE_HEIGHT)
    assert whole.getpixel((WIDTH - 1, whole.height - 1)) == PAPER
