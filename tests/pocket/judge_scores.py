"""Numbers made from the judges: how well events match, how typical a sound is."""

import torch
from torch import Tensor

from seeing_core.media.resample import mono
from seeing_core.media.types import Waveform
from seeing_core.metrics.features import Features
from tests.pocket.judge_sound import judge_sound_kind, sound_features, sound_templates


def event_match(found_s: list[float], true_s: tuple[float, ...] | list[float], tolerance_s: float = 0.1) -> float:
    """F1 of found event times against the true ones, each matched once within `tolerance_s`."""
    if not found_s and not true_s:
        return 1.0
    left = list(true_s)
    hits = 0
    for time_s in sorted(found_s):
        near = min(left, key=lambda other: abs(other - time_s), default=None)
        if near is not None and abs(near - time_s) <= tolerance_s:
            left.remove(near)
            hits += 1
    return 2 * hits / (len(found_s) + len(true_s))


def typicality(features: Tensor) -> float:
    """Cosine of sound features (D,) to the nearest kind's mean, 1 for a typical sound."""
    return float(torch.nn.functional.cosine_similarity(features[None], sound_templates().means).max())


def judged_sound(waveform: Waveform) -> Features:
    """(1, D): what the sound judge looks at; logits: its score of each kind. For `--sound-features` of the evaluation command."""
    samples = mono(waveform, 16000)
    return Features(sound_features(samples)[None], judge_sound_kind(samples)[1])
