"""AV-Align on made clips with known events, and against a second computation on a real video."""

from __future__ import annotations

import itertools

import av
import cv2
import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from seeing_core.errors import InputError
from seeing_core.media.audio_file import audio_track
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.media.video_file import VideoFile
from seeing_core.metrics.av_align import av_align, match
from seeing_core.metrics.motion import FARNEBACK, Motion, measure_motion
from seeing_core.metrics.onsets import find_onsets
from tests.made import bursts, jumping_video

DURATION_S = 3.0
EVENTS_S = (0.6, 1.2, 1.88, 2.5)
RATES = (8.0, 25.0, 30.0)


def event_frames(fps):
    return [round(time_s * fps) for time_s in EVENTS_S]


def video_of(fps, **options):
    return jumping_video(round(DURATION_S * fps), fps, event_frames(fps), **options)


def scores(video, sound):
    onsets, motion = find_onsets(sound), measure_motion(video)
    return av_align(onsets, motion, "one_to_one"), av_align(onsets, motion, "paper")


@pytest.mark.parametrize("fps", RATES)
def test_motion_peaks_are_the_frames_that_jump(fps):
    motion = measure_motion(video_of(fps))
    assert motion.fps == pytest.approx(fps)
    assert motion.peaks_s(0.1).tolist() == pytest.approx([frame / fps for frame in event_frames(fps)])
    assert motion.flow.max() == pytest.approx(3.0, rel=0.3)  # pixels a frame


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_onsets_are_the_bursts(rate_hz):
    """Found on a grid of 23 ms, never before the burst and at most one step after it."""
    late = find_onsets(bursts(EVENTS_S, DURATION_S, rate_hz)).peaks_s - torch.tensor(EVENTS_S, dtype=torch.float64)
    assert ((late > 0) & (late < 512 / 22050 + 0.003)).all()


# A sound that is one frame late is beyond the tolerance, because its onset is found a little later still; one that is a
# frame early is within it for the same reason.
@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("late_frames, expected", [(0, 1.0), (1, 0.0), (-1, 1.0), (3, 0.0), (-3, 0.0)])
def test_time_shifts(fps, late_frames, expected):
    times = [(frame + late_frames) / fps for frame in event_frames(fps)]
    one_to_one, paper = scores(video_of(fps), bursts(times, DURATION_S))
    assert one_to_one.score == paper.score == expected
    assert len(one_to_one.onsets_s) == len(one_to_one.motions_s) == len(EVENTS_S)
    assert one_to_one.tolerance_s == pytest.approx(1 / fps)


@pytest.mark.parametrize("fps", RATES)
def test_missing_and_extra_sounds(fps):
    """Three of four motions sound, and one sound has no motion: 3 / (4 + 4 - 3)."""
    times = [frame / fps for frame in event_frames(fps)[:3]] + [2.2]
    one_to_one, paper = scores(video_of(fps), bursts(times, DURATION_S))
    assert one_to_one.score == paper.score == 3 / 5


def test_two_sounds_for_one_motion_tell_the_forms_apart():
    """8 onsets, 4 motions. Paper: 8 hits / (8 + 4 - 8), above 1. One to one: 4 / (8 + 4 - 4)."""
    times = [frame / 8.0 + late for frame in event_frames(8.0) for late in (-0.05, 0.05)]
    one_to_one, paper = scores(video_of(8.0), bursts(times, DURATION_S))
    assert len(paper.onsets_s) == 8
    assert paper.score == 2.0 and one_to_one.score == 0.5
    assert len({motion for _, motion in one_to_one.hits}) == 4


def test_tiny_motion_counts_in_the_paper_form_only():
    video = video_of(25.0, pixels=1, patch=8)
    assert 0 < measure_motion(video).flow.max() < 0.1
    one_to_one, paper = scores(video, bursts([frame / 25 for frame in event_frames(25.0)], DURATION_S))
    assert (one_to_one.score, one_to_one.motions_s) == (0.0, ())
    assert paper.score == 1.0


def test_silence_and_stillness():
    moving, still = video_of(25.0), jumping_video(75, 25.0, [])
    silent, sounding = Waveform(torch.zeros(1, 48000), 16000), bursts(EVENTS_S, DURATION_S)
    for video, sound, expected in [(moving, silent, 0.0), (still, sounding, 0.0), (still, silent, None)]:
        one_to_one, paper = scores(video, sound)
        assert one_to_one.score == paper.score == expected
        assert one_to_one.hits == paper.hits == ()


def test_first_and_last_frames_are_no_peaks():
    """As released: the first flow is written twice and the last has no right neighbour, so neither is a maximum."""
    assert measure_motion(jumping_video(20, 25.0, [1, 19])).peaks_s().tolist() == []


@pytest.mark.parametrize("samples", [1, 100, 2047])
def test_very_short_sounds(samples):
    assert find_onsets(Waveform(torch.full((2, samples), 0.1), 16000)).peaks_s.ndim == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (16, 4096), (300, 20)])
def test_odd_sizes(size):
    motion = measure_motion(VideoFrames(torch.rand(3, 3, *size), 25.0), side=64)
    assert motion.flow.shape == (3,) and torch.isfinite(motion.flow).all()
    assert min(motion.size) == min(64, *size)


def test_one_frame_has_no_motion():
    with pytest.raises(InputError, match="video: received 1 frame; expected at least two frames"):
        measure_motion(VideoFrames(torch.rand(1, 3, 8, 8), 25.0))


def test_unknown_form_is_named():
    motion = Motion(torch.zeros(3), torch.arange(3) / 8, 8.0, (1, 1))
    with pytest.raises(InputError, match="one of one_to_one, paper"):
        av_align(find_onsets(bursts([0.5], 1.0)), motion, "loose")


def test_progress_is_told_and_may_stop():
    seen = []

    def stop(done, total):
        seen.append((done, total))
        if done == 5:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        measure_motion(jumping_video(20, 25.0, []), callback=stop)
    assert seen == [(i, 20) for i in range(1, 6)]


times = st.lists(st.integers(0, 60).map(lambda n: n / 10), unique=True, max_size=12).map(sorted)


@given(times, times)
def test_one_to_one_finds_as_many_pairs_as_any_matching(onsets_s, motions_s):
    hits = match(onsets_s, motions_s, 0.25, once=True)
    near = np.array([[abs(a - v) < 0.25 for v in motions_s] for a in onsets_s]).reshape(len(onsets_s), len(motions_s))
    most = (maximum_bipartite_matching(csr_matrix(near)) >= 0).sum() if near.size else 0
    assert len(hits) == most
    assert len({a for a, _ in hits}) == len({v for _, v in hits}) == len(hits)
    assert all(abs(a - v) < 0.25 for a, v in hits)


@given(times, times)
def test_paper_form_counts_every_onset_near_a_motion(onsets_s, motions_s):
    hits = match(onsets_s, motions_s, 0.25, once=False)
    assert [onset for onset, _ in hits] == [a for a in onsets_s if any(v - 0.25 < a < v + 0.25 for v in motions_s)]


def released_flow(frames):
    """Mean flow magnitudes, written out from the description of the released code; frames (H, W, 3) BGR bytes."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    flow = [cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0) for a, b in itertools.pairwise(grey)]
    sizes = [float(np.hypot(f[..., 0], f[..., 1]).mean()) for f in flow]
    return [sizes[0], *sizes]


def released_peaks(flow, fps, floor):
    return [i / fps for i in range(1, len(flow) - 1) if flow[i - 1] < flow[i] > flow[i + 1] and flow[i] >= floor]


@pytest.fixture(scope="module")
def bunny(real_video):
    return str(real_video("bigbuckbunny"))


@pytest.fixture(scope="module")
def bunny_frames(bunny):
    """The frames of bigbuckbunny.mp4, read by OpenCV, (H, W, 3) BGR bytes."""
    capture = cv2.VideoCapture(bunny)
    assert capture.get(cv2.CAP_PROP_FPS) == 25
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def test_flow_of_a_real_video_in_its_own_size(bunny, bunny_frames):
    motion = measure_motion(VideoFile(bunny, 0.0, 0.2), side=0)
    assert motion.size == (720, 1280)
    assert motion.flow.tolist() == pytest.approx(released_flow(bunny_frames[:5]), abs=2e-3)


def test_av_align_of_a_real_video_computed_twice(bunny, bunny_frames):
    video = VideoFile(bunny)
    motion, onsets = measure_motion(video, side=90), find_onsets(audio_track(video))

    small = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), (160, 90), interpolation=cv2.INTER_AREA) for frame in bunny_frames
    ]
    flow = released_flow([cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) for frame in small])
    with av.open(bunny) as container:
        pieces = [frame.to_ndarray().mean(0) for frame in container.decode(audio=0)]
    heard = librosa.resample(np.concatenate(pieces)[: round(5.28 * 48000)], orig_sr=48000, target_sr=22050)
    strength = librosa.onset.onset_strength(y=heard, sr=22050)
    theirs = librosa.frames_to_time(librosa.onset.onset_detect(onset_envelope=strength, sr=22050), sr=22050)
    ours = onsets.peaks_s.tolist()
    assert ours == pytest.approx(theirs.tolist()) and len(ours) > 8

    for form, floor in (("one_to_one", 0.1), ("paper", 0.0)):
        result, peaks = av_align(onsets, motion, form), released_peaks(flow, 25.0, floor)
        assert list(result.motions_s) == pytest.approx(peaks)
        hits, free = 0, list(peaks)
        for onset in ours:
            near = [peak for peak in free if peak - 1 / 25 < onset < peak + 1 / 25]
            hits += bool(near)
            if near and form == "one_to_one":
                free.remove(near[0])
        assert hits > 0
        assert result.score == pytest.approx(hits / (len(ours) + len(peaks) - hits))


def test_farneback_settings_are_the_released_ones():
    assert list(FARNEBACK.values()) == [0.5, 3, 15, 3, 5, 1.2, 0]


def test_large_jumps_escape_the_flow_of_large_frames():
    """Why frames are reduced by default: a jump of 40 pixels in 512 is seen whole at 128 and hardly at all at 512."""
    still = torch.nn.functional.interpolate(jumping_video(1, 8.0, []).pixels, size=(512, 552), mode="bicubic").clamp(0, 1)[0]
    video = VideoFrames(torch.stack([still[..., 40 * (index >= 3) :][..., :512] for index in range(6)]), 8.0)
    small, large = (measure_motion(video, side=side) for side in (128, 0))
    assert small.peaks_s(0.1).tolist() == [3 / 8] and small.size == (128, 128) and large.size == (512, 512)
    assert small.flow[3] == pytest.approx(10, rel=0.25)
    assert large.flow[3] < 0.25 * 40
