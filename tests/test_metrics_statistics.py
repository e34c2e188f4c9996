"""Fréchet and kernel distances, divergences and intervals against closed forms and other people's code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import kl_div
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from seeing_core.errors import InputError
from seeing_core.metrics.divergence import inception_score, mean_kl, mean_kl_sigmoid
from seeing_core.metrics.frechet import Gaussian, frechet_distance, gaussian_of
from seeing_core.metrics.interval import mean_interval
from seeing_core.metrics.kernel_distance import kernel_distance


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows_with(mean, covariance, count=50):
    """(count, D) rows whose sample mean and unbiased covariance are exactly these."""
    rows = draws(count, len(mean))
    rows = rows - rows.mean(0)
    whitener = torch.linalg.inv(torch.linalg.cholesky(torch.cov(rows.T)))
    return rows @ whitener.T @ torch.linalg.cholesky(covariance).T + mean


def test_gaussian_of_rows():
    mean, covariance = torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()
    found = gaussian_of(rows_with(mean, covariance).float())
    assert torch.allclose(found.mean, mean, atol=1e-5) and torch.allclose(found.covariance, covariance, atol=1e-5)


def test_frechet_closed_forms():
    """|m1 - m2|² + Σ (σ1 - σ2)² when the covariances share their axes."""
    one = rows_with(torch.tensor([0.0, 0.0, 0.0]).double(), torch.diag(torch.tensor([1.0, 4.0, 9.0])).double())
    other = rows_with(torch.tensor([3.0, 0.0, -1.0]).double(), torch.diag(torch.tensor([4.0, 4.0, 1.0])).double())
    assert frechet_distance(gaussian_of(one), gaussian_of(other)) == pytest.approx(9 + 1 + 1 + 0 + 4)
    turn, _ = torch.linalg.qr(draws(3, 3, seed=3))
    assert frechet_distance(gaussian_of(one @ turn), gaussian_of(other @ turn)) == pytest.approx(15)
    assert frechet_distance(gaussian_of(one), gaussian_of(one)) == pytest.approx(0, abs=1e-9)
    line = [Gaussian(torch.tensor([m]).double(), torch.tensor([[s * s]]).double()) for m, s in ((1, 2), (4, 0))]
    assert frechet_distance(*line) == pytest.approx(9 + 4)


@pytest.mark.parametrize("count, size", [(200, 5), (40, 16)])
def test_frechet_as_others_compute_it(count, size):
    mix = draws(size, size, seed=5)
    one, other = draws(count, size), 1.5 * draws(count, size, seed=1) @ mix + 0.3
    ours = frechet_distance(gaussian_of(one), gaussian_of(other))
    root = scipy.linalg.sqrtm(np.cov(one.T) @ np.cov(other.T)).real
    gap = (one.mean(0) - other.mean(0)).square().sum()
    assert ours == pytest.approx(float(gap + one.T.cov().trace() + other.T.cov().trace() - 2 * np.trace(root)), rel=1e-6)

    class Identity(nn.Module):
        num_features = size

        def forward(self, rows):
            return rows

    theirs = FrechetInceptionDistance(feature=Identity())
    theirs.set_dtype(torch.float64)
    theirs.update(one, real=True)
    theirs.update(other, real=False)
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_frechet_with_fewer_rows_than_features():
    one, other = gaussian_of(draws(5, 40)), gaussian_of(draws(5, 40, seed=1) + 1)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    assert math.isfinite(frechet_distance(one, other)) and frechet_distance(one, other) > 10
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 6))
def test_frechet_is_symmetric_and_not_negative(seed, count, size):
    one, other = gaussian_of(draws(count, size, seed=seed)), gaussian_of(3 * draws(count, size, seed=seed + 1) - 1)
    distance = frechet_distance(one, other)
    assert distance >= 0
    assert distance == pytest.approx(frechet_distance(other, one), rel=1e-6, abs=1e-9)


def test_kernel_distance_is_unbiased():
    """Mean 0 over 400 draws from one distribution, at unequal sizes; the biased form would be off by several errors."""
    values, biased = [], []
    for seed in range(400):
        one, other = draws(12, 4, seed=2 * seed), draws(20, 4, seed=2 * seed + 1)
        values.append(kernel_distance(one, other))
        grams = [(a @ b.T / 4 + 1) ** 3 for a, b in ((one, one), (other, other), (one, other))]
        biased.append(float(grams[0].mean() + grams[1].mean() - 2 * grams[2].mean()))
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0
    assert np.mean(biased) > 10 * error


def test_kernel_distance_by_hand_and_by_others():
    one, other = draws(6, 3), draws(5, 3, seed=1) + 0.5

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    within = sum(k(a, b) for i, a in enumerate(one) for j, b in enumerate(one) if i != j) / 30
    within += sum(k(a, b) for i, a in enumerate(other) for j, b in enumerate(other) if i != j) / 20
    across = sum(k(a, b) for a in one for b in other) / 30
    assert kernel_distance(one, other) == pytest.approx(within - 2 * across)
    same = draws(5, 3, seed=2)  # torchmetrics wants sets of equal size
    assert kernel_distance(same, other) == pytest.approx(float(poly_mmd(same, other, degree=3, gamma=None, coef=1.0)))


def test_kernel_distance_grows_with_the_shift():
    one, other = draws(60, 4), draws(60, 4, seed=1)
    values = [kernel_distance(one, other + shift) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values) and values[1] > 0.05


def test_inception_score_bounds():
    assert inception_score(torch.zeros(10, 7)) == pytest.approx(1)
    assert inception_score(draws(1, 7).repeat(10, 1)) == pytest.approx(1)
    assert inception_score(100 * torch.eye(7).repeat(3, 1)) == pytest.approx(7)
    assert inception_score(100 * torch.eye(7)[[0, 0, 1, 1]]) == pytest.approx(2)


@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(1, 9), st.floats(0.01, 200))
def test_inception_score_stays_within_its_bounds(seed, count, classes, scale):
    score = inception_score(scale * draws(count, classes, seed=seed))
    assert 1 - 1e-9 <= score <= min(count, classes) + 1e-9


def test_mean_kl():
    logits = torch.tensor([0.9, 0.1]).log()[None], torch.tensor([0.5, 0.5]).log()[None]
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)  # KL(reference || generated)
    assert mean_kl(*logits) == pytest.approx(expected, abs=1e-4)
    same = draws(6, 9)
    assert mean_kl(same, same) == pytest.approx(0, abs=1e-4) and mean_kl_sigmoid(same, same) == pytest.approx(0, abs=1e-4)


def test_mean_kl_as_others_compute_it():
    generated, reference = draws(8, 11), 3 * draws(8, 11, seed=1)
    softmax = kl_div((generated.softmax(1) + 1e-6).log(), reference.softmax(1), reduction="sum") / 8
    sigmoid = kl_div((generated.sigmoid() + 1e-6).log(), reference.sigmoid(), reduction="sum") / 8
    assert mean_kl(generated, reference) == pytest.approx(float(softmax))
    assert mean_kl_sigmoid(generated, reference) == pytest.approx(float(sigmoid))
    assert mean_kl(generated, reference) > 0.1


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussian_of(torch.zeros(1, 4)),
        lambda: gaussian_of(torch.zeros(4)),
        lambda: frechet_distance(gaussian_of(draws(4, 2)), gaussian_of(draws(4, 3))),
        lambda: kernel_distance(draws(1, 3), draws(4, 3)),
        lambda: kernel_distance(draws(4, 3), draws(4, 2)),
        lambda: inception_score(torch.zeros(0, 4)),
        lambda: mean_kl(draws(3, 4), draws(4, 4)),
    ],
)
def test_wrong_shapes_are_named(call):
    with pytest.raises(InputError, match="received .* expected"):
        call()


def test_interval():
    constant = mean_interval([2.0] * 5)
    assert (constant.mean, constant.low, constant.high, constant.count, constant.undefined) == (2, 2, 2, 5, 0)
    gaps = mean_interval([1.0, None, 3.0, math.nan])
    assert (gaps.mean, gaps.count, gaps.undefined) == (2.0, 2, 2)
    nothing = mean_interval([None, None])
    assert math.isnan(nothing.mean) and (nothing.count, nothing.undefined, str(nothing)) == (0, 2, "undefined")
    assert mean_interval([0.0, 1.0, 5.0]) == mean_interval([0.0, 1.0, 5.0])


def test_interval_covers_the_true_mean_about_19_times_in_20():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        found = mean_interval(generator.normal(3, 1, 64).tolist())
        hits += found.low <= 3 <= found.high
    assert 178 <= hits <= 198
