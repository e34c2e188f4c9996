"""Lag, binder scores, rankings, words and plots."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from seeing_core.errors import InputError
from seeing_core.guidance.settings import AlignSettings
from seeing_core.guidance.trace import Trace, TracePoint
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.metrics.binder_scores import binder_scores
from seeing_core.metrics.fit import measure_fit, measure_fits
from seeing_core.metrics.lag import measure_lag
from seeing_core.metrics.motion import measure_motion
from seeing_core.metrics.onsets import find_onsets
from seeing_core.metrics.ranking import MEASURES, check_measure, rank
from seeing_core.visuals.plots import SIZE_PX, fit_plot, trace_plot
from tests.made import bursts, jumping_video

EVENTS_S = (0.6, 1.24, 1.88, 2.88, 3.4)
DURATION_S = 4.0


def video_of(fps):
    return jumping_video(round(DURATION_S * fps), fps, [round(time_s * fps) for time_s in EVENTS_S])


def shifted(late_s):
    return bursts([time_s + late_s for time_s in EVENTS_S], DURATION_S)


@pytest.fixture(scope="module")
def video():
    return video_of(25.0)


@pytest.mark.parametrize("fps", [8.0, 25.0, 30.0])
@pytest.mark.parametrize("late_s", [-0.4, 0.0, 0.12, 0.5])
def test_lag_is_found(fps, late_s):
    lag = measure_lag(find_onsets(shifted(late_s)), measure_motion(video_of(fps)))
    assert lag.lag_s == pytest.approx(late_s, abs=0.5 / fps + 0.03)
    assert lag.correlation > 0.4


def test_lag_of_nothing_is_undefined(video):
    silent, still = find_onsets(Waveform(torch.zeros(1, 64000), 16000)), measure_motion(jumping_video(100, 25.0, []))
    for onsets, motion in [(silent, measure_motion(video)), (find_onsets(shifted(0)), still), (silent, still)]:
        lag = measure_lag(onsets, motion)
        assert lag.lag_s is None and lag.correlation is None


def test_lag_of_two_frames_and_of_a_steady_hum():
    two = measure_motion(VideoFrames(torch.rand(2, 3, 16, 16), 25.0))
    assert measure_lag(find_onsets(shifted(0)), two).lag_s in (None, 0.0)
    hum = Waveform(torch.sin(torch.arange(64000) * 0.3)[None], 16000)
    lag = measure_lag(find_onsets(hum), measure_motion(video_of(8.0)))
    assert lag.correlation is None or -1 <= lag.correlation <= 1


def test_binder_scores_are_the_cosines(binder, video):
    sound, prompt = shifted(0), "a ball bouncing"
    scores = binder_scores(binder, video, sound, prompt)
    segments = binder.clip_segments(DURATION_S)
    with torch.no_grad():
        seen, heard = binder.embed_video(video, segments).clips, binder.embed_audio(sound.samples, segments).clips[0]
        (read,) = binder.embed_text([prompt], "vision")
    assert scores.segments == tuple(segments) and len(scores.av_each) == 4
    assert scores.av == pytest.approx(float(cosine_similarity(seen.mean(0), heard.mean(0), dim=0)), abs=1e-5)
    assert scores.vt == pytest.approx(float(cosine_similarity(seen.mean(0), read, dim=0)), abs=1e-5)
    assert scores.at == pytest.approx(float(cosine_similarity(heard.mean(0), read, dim=0)), abs=1e-5)
    for each, (a, b) in [(scores.av_each, (heard, seen)), (scores.vt_each, (seen, read)), (scores.at_each, (heard, read))]:
        assert torch.allclose(each, cosine_similarity(a, b, dim=-1), atol=1e-5)


def test_binder_scores_without_prompt_at_any_rate_and_length(binder, video):
    assert binder_scores(binder, video, shifted(0), "  ").vt is None
    short = Waveform(torch.randn(2, 4800) * 0.1, 48000)
    assert len(binder_scores(binder, video, short).av_each) == 4
    longer = Waveform(torch.cat([shifted(0).samples, torch.ones(1, 9000)], 1), 16000)
    assert torch.equal(binder_scores(binder, video, longer).av_each, binder_scores(binder, video, shifted(0)).av_each)


def test_words(video, binder):
    words = str(measure_fit(video, shifted(0), measure_motion(video), binder=binder, prompt="x"))
    assert "AV-Align, one to one: 1.000 (5 matches of 5 onsets and 5 motions, within 40 ms at 25 fps)" in words
    assert "Binder similarity (ImageBind): sound and picture" in words and "Note" not in words
    late = str(measure_fit(video, shifted(0.4), measure_motion(video)))
    assert "ms after the picture" in late and "Binder" not in late
    longer = measure_fit(video, bursts([0.6], 6.0), measure_motion(video))
    assert "the sound is 6.00 s long, the video 4.00 s" in str(longer)
    few = measure_fit(jumping_video(50, 25.0, [20]), bursts([0.8], 2.0), measure_motion(jumping_video(50, 25.0, [20])))
    assert "chance has a large say" in str(few)
    nothing = jumping_video(50, 25.0, [])
    silence = Waveform(torch.zeros(1, 32000), 16000)
    assert "AV-Align: undefined" in str(measure_fit(nothing, silence, measure_motion(nothing)))


def test_ranking(video):
    waveforms = [Waveform(torch.zeros(1, 64000), 16000), shifted(0.3), shifted(0.0), bursts(EVENTS_S[:2], DURATION_S)]
    fits = measure_fits([(video, sound) for sound in waveforms])
    for measure in ("AV-Align (one to one)", "AV-Align (paper)", "smallest lag"):
        ranking = rank(fits, measure)
        assert ranking.best == 2, measure
        assert sorted(ranking.order) == [0, 1, 2, 3]
        table = str(ranking).splitlines()
        assert table[0].startswith(f"Best: candidate 3 of 4, by {measure}: ") and len(table) == 6
        assert table[1] == "rank  candidate  AV-Align  paper  lag ms  corr."
    assert rank(fits).measure == "AV-Align (one to one)"
    assert rank(fits, "lag correlation").order[-1] == 0  # undefined comes last
    assert rank(fits, "AV-Align (one to one)").order[1] == 3


def test_ties_go_by_correlation_then_order(video):
    fit = measure_fit(video, shifted(0.0), measure_motion(video))
    worse = replace(fit, lag=replace(fit.lag, correlation=0.1))
    assert rank([worse, fit, fit]).order == (1, 2, 0)


def test_ranking_by_the_binder(video, binder):
    fits = measure_fits([(video, shifted(late)) for late in (0.0, 0.3)], binder=binder, prompt="x")
    for measure, score in (("binder: sound and picture", "av"), ("binder: sound and prompt", "at")):
        values = [getattr(fit.binder, score) for fit in fits]
        assert rank(fits, measure).best == values.index(max(values))
        assert str(rank(fits, measure)).splitlines()[1].endswith("corr.  binder  prompt")


def test_measures_that_cannot_be_taken_are_named(video):
    for measure in MEASURES:
        check_measure(measure, binder=True, prompt="x")
    with pytest.raises(InputError, match="binder: received nothing"):
        check_measure("binder: sound and picture", binder=False, prompt="")
    with pytest.raises(InputError, match="prompt: received an empty prompt"):
        check_measure("binder: sound and prompt", binder=True, prompt=" ")
    with pytest.raises(InputError, match="one of AV-Align"):
        check_measure("beauty", binder=True, prompt="x")
    with pytest.raises(InputError, match="candidates: received none"):
        rank([])


def test_motion_of_a_shared_video_is_measured_once(video):
    seen = []
    measure_fits([(video, shifted(0.0)), (video, shifted(0.1))], callback=lambda done, total: seen.append(done))
    assert len(seen) == 100


def marked(picture, colour):
    """How many pixels have exactly this #rrggbb."""
    wanted = torch.tensor([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int(((picture * 255).round() == wanted).all(-1).sum())


def test_fit_plot_shows_matches(video, binder):
    motion = measure_motion(video)
    fitting, missing = (fit_plot(measure_fit(video, shifted(late), motion)) for late in (0.0, 0.2))
    assert fitting.shape == (SIZE_PX[1], SIZE_PX[0], 3) and 0 <= fitting.min() and fitting.max() <= 1
    assert marked(fitting, "#7ee08a") > 500 and marked(fitting, "#ff9e64") == 0
    assert marked(missing, "#7ee08a") == 0 and marked(missing, "#ff9e64") > 500
    bound = fit_plot(measure_fit(video, shifted(0.0), motion, binder=binder))
    assert bound.shape == fitting.shape and not torch.equal(bound, fitting)


@pytest.mark.parametrize("samples", [1, 64000])
def test_fit_plot_of_nothing(samples):
    video = jumping_video(2, 25.0, [])
    assert fit_plot(measure_fit(video, Waveform(torch.zeros(1, samples), 16000), measure_motion(video))).shape[-1] == 3


def test_trace_plot():
    points = tuple(
        TracePoint(step, inner, 2 / (step + 1), {"vision": 1 / (step + 1), "text": 0.5})
        for step in range(2, 9)
        for inner in range(2)
    )
    picture = trace_plot(Trace(AlignSettings(), 10, points))
    assert picture.shape == (SIZE_PX[1], SIZE_PX[0], 3)
    assert marked(picture, "#78c8ff") > 300 and marked(picture, "#ffcb6b") > 300
    unguided = trace_plot(Trace(AlignSettings(strength=0.0), 10, ()))
    assert marked(unguided, "#78c8ff") == 0 and marked(unguided, "#d8d8e0") > 100
