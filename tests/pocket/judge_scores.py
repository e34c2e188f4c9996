"""Numbers made from the judges: how well events match, how far sounds are from real ones."""

import torch
from torch import Tensor

from tests.pocket.judge_sound import sound_templates


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


def frechet_distance(first: Tensor, second: Tensor, floor: float = 1e-3) -> float:
    """Frechet distance between two sets of features (N, D) and (M, D); `floor` steadies small sets."""
    def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
        centred = (features - features.mean(0)).double()
        eye = torch.eye(features.shape[1], dtype=torch.float64)
        return features.mean(0).double(), centred.T @ centred / max(len(features) - 1, 1) + floor**2 * eye

    mean_a, cov_a = statistics(first)
    mean_b, cov_b = statistics(second)
    root_a = _symmetric_root(cov_a)
    cross = _symmetric_root(root_a @ cov_b @ root_a)
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross.trace())


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def typicality(features: Tensor) -> float:
    """Cosine of sound features (D,) to the nearest kind's mean, 1 for a typical sound."""
    return float(torch.nn.functional.cosine_similarity(features[None], sound_templates().means).max())
