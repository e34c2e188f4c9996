"""Event times: what is found, and what of it is kept."""

from __future__ import annotations

import pytest
import torch

from seeing_core.errors import InputError
from seeing_core.guidance.sync import parse_times
from seeing_core.metrics.events import Events, movement_events, sound_events
from seeing_core.metrics.motion import measure_motion
from seeing_core.visuals.plots import events_plot
from tests.made import bursts, jumping_video

EVENTS = Events((0.5, 1.0, 1.1, 2.0), (1.0, 4.0, 2.0, 3.0), torch.zeros(1), torch.zeros(1))


def test_movements_lie_between_the_frames_that_differ() -> None:
    found = movement_events(measure_motion(jumping_video(50, 25.0, [12, 30])))
    assert found.chosen() == pytest.approx([11.5 / 25, 29.5 / 25])
    assert len(found.curve) == len(found.curve_s) == 50


def test_onsets_are_where_the_sound_starts() -> None:
    assert sound_events(bursts([0.5, 1.4], 2.0)).chosen() == pytest.approx([0.5, 1.4], abs=0.03)


def test_the_stronger_jump_is_the_stronger_event() -> None:
    first, second = (measure_motion(jumping_video(50, 25.0, [25], pixels=pixels)) for pixels in (1, 4))
    assert movement_events(second).strengths[0] > 2 * movement_events(first).strengths[0]


def test_the_louder_onset_is_the_stronger_event_however_it_falls_on_the_grid() -> None:
    for shift_s in (0.0, 0.005, 0.011, 0.017):
        sound = bursts([0.5 + shift_s, 1.4 + shift_s], 2.0)
        sound.samples[:, 16000:] *= 0.05
        loud, faint = sound_events(sound).strengths
        assert loud > faint


@pytest.mark.parametrize(
    "how, kept",
    [
        ({}, [0.5, 1.0, 1.1, 2.0]),
        ({"sensitivity": 0.5}, [1.0, 1.1, 2.0]),
        ({"sensitivity": 0.0}, [1.0]),
        ({"minimum_gap_s": 0.2}, [0.5, 1.0, 2.0]),
        ({"minimum_gap_s": 0.6}, [1.0, 2.0]),
        ({"start_s": 1.05}, [1.1, 2.0]),
        ({"start_s": 1.1, "end_s": 2.0}, [1.1]),
        ({"sensitivity": 0.0, "start_s": 1.05}, [2.0]),  # the strongest there is
        ({"start_s": 3.0}, []),
    ],
)
def test_what_is_kept(how: dict[str, float], kept: list[float]) -> None:
    assert EVENTS.chosen(**how) == kept


@pytest.mark.parametrize("wrong, named", [({"sensitivity": 1.5}, "sensitivity"), ({"minimum_gap_s": -1.0}, "minimum gap")])
def test_values_out_of_range(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=f"^{named}: received"):
        EVENTS.chosen(**wrong)


def test_the_text_is_what_a_task_reads() -> None:
    chosen = EVENTS.chosen()
    assert parse_times(", ".join(f"{time_s:.3f}" for time_s in chosen), 3.0) == chosen


def test_the_plot_shows_the_chosen_events() -> None:
    sound = bursts([0.5, 1.4], 2.0)
    events = sound_events(sound)
    with_one, with_two = (events_plot(events, events.chosen()[:count], 2.0, sound=sound) for count in (1, 2))
    assert with_one.shape == with_two.shape == (720, 1200, 3)
    green = [
        ((plot[..., 1] - plot[..., 0] > 0.15) & (plot[..., 1] - plot[..., 2] > 0.15)).sum() for plot in (with_one, with_two)
    ]
    assert green[1] > 1.5 * green[0] > 0
