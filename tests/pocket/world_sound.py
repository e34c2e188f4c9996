"""Sounds of the pocket world: one timbre per kind, each event at exactly its time.

Every steady partial lies on a multiple of 100 Hz and runs on the clip's own clock (its phase does
not restart with an event). One mel frame of 10 ms then holds a whole number of periods, which is
what a vocoder with a hop of 10 ms can sustain. The pitch of partials varies in steps of 100 Hz, that of
noise freely.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.pocket.world_kinds import Traits

RATE_HZ = 16000
PARTIAL_STEP_HZ = 100
PERIOD = RATE_HZ // PARTIAL_STEP_HZ  # samples in which every partial repeats

Samples = NDArray[np.float32]
Rng = np.random.Generator


def _partial_table() -> Samples:
    """One period of the partials 0, 100 .. 7900 Hz, Schroeder phases: (80, PERIOD)."""
    k = np.arange(80)[:, None]
    angle = 2 * np.pi * k * np.arange(PERIOD)[None] / PERIOD + np.pi * k**2 / 80
    return np.cos(angle).astype(np.float32)


_TABLE = _partial_table()


def partial_tone(freq_hz: int, start: int, count: int) -> Samples:
    """`count` samples of the partial at `freq_hz` (a multiple of 100) from sample `start` on."""
    wave = _TABLE[freq_hz // PARTIAL_STEP_HZ]
    return np.resize(np.roll(wave, -(start % PERIOD)), count)


def band_noise(rng: Rng, count: int, low_hz: float, high_hz: float) -> Samples:
    """Noise of unit RMS between two frequencies, with soft band edges."""
    size = 1 << max(8, (count - 1).bit_length())
    freq = np.fft.rfftfreq(size, 1 / RATE_HZ)
    edge = 0.12 * high_hz
    gain = np.clip((freq - low_hz) / edge + 1, 0, 1) * np.clip((high_hz - freq) / edge + 1, 0, 1)
    spectrum = np.fft.rfft(rng.standard_normal(size).astype(np.float32)) * gain
    noise = np.fft.irfft(spectrum, size)[:count]
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def _decay(count: int, decay_s: float, attack_s: float = 0.002) -> Samples:
    """Envelope that rises in `attack_s` and falls by e in `decay_s`."""
    t = np.arange(count, dtype=np.float32) / RATE_HZ
    return np.minimum(t / attack_s, 1) * np.exp(-t / decay_s)


def _in_step(freq_hz: float) -> int:
    """The nearest frequency that a partial may have."""
    return PARTIAL_STEP_HZ * round(freq_hz / PARTIAL_STEP_HZ)


def _strike(rng: Rng, hardness: float) -> Samples:
    """What a hard thing adds to where an event begins: a short bright noise."""
    count = _seconds(0.02)
    return 0.7 * hardness * _decay(count, 0.005, 0.001) * band_noise(rng, count, 2500, 7000)


def _seconds(value: float) -> int:
    return int(round(value * RATE_HZ))


def _ball(rng: Rng, start: int, pitch: float, stretch: float) -> Samples:
    """A low thump: three low partials and low noise."""
    count = _seconds(0.30)
    low = _in_step(100 + 200 * pitch)
    tone = partial_tone(low, start, count) + 0.8 * partial_tone(low + 100, start, count)
    noise = band_noise(rng, count, 60, 380 + 320 * pitch)
    return _decay(count, 0.065 * stretch) * (0.5 * tone + 0.5 * noise)


def _bell(rng: Rng, start: int, pitch: float, stretch: float) -> Samples:
    """A struck metal: five inharmonic partials that ring on, and a bright strike noise."""
    count = _seconds(0.9)
    out = np.zeros(count, np.float32)
    for freq, gain, ring in ((1200, 0.7, 0.40), (1900, 0.6, 0.34), (2700, 0.5, 0.28), (3600, 0.4, 0.22), (4700, 0.3, 0.16)):
        out += gain * _decay(count, ring * stretch) * partial_tone(_in_step(freq - 100 + 500 * pitch), start, count)
    strike = _seconds(0.03)
    out[:strike] += 0.3 * _decay(strike, 0.006) * band_noise(rng, strike, 2000, 6500)
    return 0.7 * out


def _shaker(rng: Rng, start: int, pitch: float, stretch: float) -> Samples:
    """A rattle: a row of short grains of high noise."""
    grains = 4 + int(rng.integers(3))
    gap = _seconds(0.042 * stretch)
    count = grains * gap + _seconds(0.05)
    envelope = np.zeros(count, np.float32)
    for grain in range(grains):
        grain_gain = rng.uniform(0.6, 1.0) if grain else 1.0
        tail = envelope[grain * gap :]
        tail += grain_gain * _decay(len(tail), 0.009)
    return 0.55 * envelope * band_noise(rng, count, 3600 + 1400 * pitch, 6500 + 1400 * pitch)


def _spring(rng: Rng, start: int, pitch: float, stretch: float) -> Samples:
    """A twang: a 100 Hz buzz under a resonance that slides upwards."""
    count = _seconds(0.36 * stretch)
    t = np.arange(count, dtype=np.float32) / count
    low, high = 370 + 180 * pitch, 2500 + 1000 * pitch
    log_centre = np.log(low) + t * np.log(high / low)
    freqs = np.arange(200, 4600, PARTIAL_STEP_HZ)
    weight = np.exp(-0.5 * ((np.log(freqs)[:, None] - log_centre[None]) / 0.13) ** 2)
    weight /= np.sqrt((weight**2).sum(0, keepdims=True))
    tones = np.stack([partial_tone(int(f), start, count) for f in freqs])
    buzz = (weight * tones).sum(0)
    fade = np.minimum(t * count / 64, 1) * np.minimum((1 - t) * 6, 1) * np.exp(-0.9 * t)
    return (0.85 * fade * buzz + 0.02 * fade * band_noise(rng, count, 300, 4000)).astype(np.float32)


def _horn(rng: Rng, start: int, pitch: float, stretch: float) -> Samples:
    """A held harmonic note."""
    count = _seconds(0.27 * stretch)
    base = _in_step(400 + 400 * pitch)
    tone = sum(partial_tone(base * k, start, count) / k**0.8 for k in range(1, 7))
    t = np.arange(count, dtype=np.float32) / RATE_HZ
    envelope = np.minimum(t / 0.012, 1) * np.minimum((t[-1] - t) / 0.04, 1)
    return envelope * (0.33 * tone + 0.03 * band_noise(rng, count, 400, 4000))


def _block(rng: Rng, start: int, pitch: float, stretch: float) -> Samples:
    """A dry knock: one short resonance in the middle of the spectrum."""
    count = _seconds(0.14)
    base = _in_step(800 + 500 * pitch)
    tone = partial_tone(base, start, count) + 0.6 * partial_tone(base + 700, start, count)
    noise = band_noise(rng, count, 700, 2400)
    return _decay(count, 0.020 * stretch, 0.001) * (0.7 * tone + 0.5 * noise)


def _tremolo(count: int, start: int, rate_hz: float, depth: float) -> Samples:
    t = (np.arange(count, dtype=np.float32) + start) / RATE_HZ
    return 1 - depth * (0.5 + 0.5 * np.cos(2 * np.pi * rate_hz * t))


def _run_envelope(count: int) -> Samples:
    t = np.arange(count, dtype=np.float32) / RATE_HZ
    return np.minimum(t / 0.02, 1) * np.clip((t[-1] - t) / 0.04, 0, 1)


def _engine(rng: Rng, start: int, count: int, pitch: float, stretch: float) -> Samples:
    """A chugging buzz: harmonics of 100 Hz and low noise under a fast tremolo."""
    tone = sum(
        partial_tone(100 * k, start, count) * 0.8 * np.exp(-0.5 * ((k - 2 - 3.5 * pitch) / 1.9) ** 2) for k in range(1, 10)
    )
    noise = band_noise(rng, count, 120 + 130 * pitch, 700 + 500 * pitch)
    throb = _tremolo(count, start, (8.5 + 4 * pitch) * stretch, 0.8)
    return 0.5 * _run_envelope(count) * throb * (0.45 * tone + 0.4 * noise)


def _fan(rng: Rng, start: int, count: int, pitch: float, stretch: float) -> Samples:
    """Air noise under a slow tremolo."""
    noise = band_noise(rng, count, 1000 + 700 * pitch, 3000 + 1300 * pitch)
    return 0.25 * _run_envelope(count) * _tremolo(count, start, 5.5 * stretch, 0.7) * noise


_STRUCK: dict[str, Callable[[Rng, int, float, float], Samples]] = {
    "ball": _ball,
    "bell": _bell,
    "shaker": _shaker,
    "spring": _spring,
    "horn": _horn,
    "block": _block,
}
_RUNNING: dict[str, Callable[[Rng, int, int, float, float], Samples]] = {"engine": _engine, "fan": _fan}


def _room_noise(rng: Rng, count: int, rms: float) -> Samples:
    """Background noise that falls with frequency, at a given RMS."""
    spectrum = np.fft.rfft(rng.standard_normal(count).astype(np.float32))
    freq = np.fft.rfftfreq(count, 1 / RATE_HZ)
    noise = np.fft.irfft(spectrum / np.sqrt(1 + freq / 300), count)
    return (rms * noise / (noise.std() + 1e-9)).astype(np.float32)


def render_sound(
    kind: str, traits: Traits, starts_s: tuple[float, ...], ends_s: tuple[float, ...], duration_s: float, rng: Rng
) -> Samples:
    """The sound of a clip: one event of `kind` at each start (until its end, where continuous).

    Returns round(duration_s * 16000) samples in about -1..1.
    """
    total = _seconds(duration_s)
    out = _room_noise(rng, total, float(rng.uniform(0.0005, 0.003)))
    level, pitch = 0.2 + 0.45 * traits.force, 1 - traits.size
    stretch = float(rng.uniform(0.85, 1.2))
    for start_s, end_s in zip(starts_s, ends_s):
        start = _seconds(start_s)
        if kind in _RUNNING:
            event = _RUNNING[kind](rng, start, max(_seconds(end_s) - start, 800), pitch, stretch)
        else:
            event = _STRUCK[kind](rng, start, pitch, stretch) * float(rng.uniform(0.8, 1.0))
        strike = _strike(rng, traits.hardness)
        event[: len(strike)] += strike
        count = min(len(event), total - start)
        out[start : start + count] += level * event[:count]
    return np.clip(out, -1, 1)
