"""Kernel distances: KVD and KID are this one number on different features."""

from __future__ import annotations

from torch import Tensor

from ..errors import InputError


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """Unbiased squared MMD of features (N, D) and (M, D), kernel (x·y / D + 1)³ (Bińkowski et al., ICLR 2018).

    On I3D features this is KVD (Unterthiner et al., 2018). Its mean over draws of two sets from one distribution is 0,
    whatever their sizes, so a single value may be below 0. Raises InputError for fewer than two rows.
    """
    if first.ndim != 2 or second.ndim != 2 or min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise InputError(
            "features",
            f"tensors of shapes {tuple(first.shape)} and {tuple(second.shape)}",
            "(N, D) and (M, D), N and M at least 2",
        )
    first, second = first.double(), second.double()
    within = _mean_of_others(_kernel(first, first)) + _mean_of_others(_kernel(second, second))
    return float(within - 2 * _kernel(first, second).mean())


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """(N, D), (M, D) -> (N, M)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean_of_others(gram: Tensor) -> Tensor:
    """The mean of (N, N) without its diagonal: a sample's likeness to itself says nothing."""
    count = len(gram)
    return (gram.sum() - gram.diagonal().sum()) / (count * (count - 1))
