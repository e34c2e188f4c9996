"""Fréchet distances: FAD, FD and FVD are this one number on different features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Gaussian:
    """mean: (D,).  covariance: (D, D), unbiased.  Both float64."""

    mean: Tensor
    covariance: Tensor


def gaussian_of(features: Tensor) -> Gaussian:
    """features (N, D) -> their mean and unbiased covariance. Raises InputError for fewer than two rows."""
    if features.ndim != 2 or len(features) < 2:
        raise InputError("features", f"a tensor of shape {tuple(features.shape)}", "(N, D) with N of at least 2")
    rows = features.double()
    centred = rows - rows.mean(0)
    return Gaussian(rows.mean(0), centred.T @ centred / (len(rows) - 1))


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), from 0, in squared units of the features (Dowson & Landau, 1982).

    FAD: on VGGish features (Kilgour et al., 2019); FD: on PANNs features (Liu et al., "AudioLDM", 2023); FVD: on I3D
    features (Unterthiner et al., 2018). It falls with the number of samples: compare sets of equal size only. The root
    is taken as that of C1^½ C2 C1^½, which is symmetric, so singular covariances (fewer samples than features) are no
    trouble and nothing imaginary has to be dropped.
    """
    if first.mean.shape != second.mean.shape:
        raise InputError("features", f"{len(first.mean)} and {len(second.mean)} features", "two sets of equal kind")
    root = _root(first.covariance)
    cross = torch.linalg.eigvalsh(_symmetric(root @ second.covariance @ root)).clamp_min(0).sqrt().sum()
    apart = (first.mean - second.mean).square().sum()
    return max(0.0, float(apart + first.covariance.trace() + second.covariance.trace() - 2 * cross))


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(_symmetric(matrix))
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2
