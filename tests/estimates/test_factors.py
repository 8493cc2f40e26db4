from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.covariance import empirical_covariance, ledoit_wolf_shrinkage, shrunk_covariance
from sklearn.decomposition import PCA

from scgan_perturb.estimates._class_statistics import ClassStatistics
from scgan_perturb.estimates._factors import find_factors, optimal_map, principal_axes
from scgan_perturb.estimates._samples import Samples
from tests.estimates.rows import Rows

SOME = np.random.default_rng(1).normal(size=(9, 2))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "n_axes"),
    [((40, 12), 6), ((12, 40), 12), ((300, 140), 60)],
    ids=["tall", "wide", "the most"],
)
def test_the_axes_are_principal_components(shape, n_axes, rng):
    x = rng.normal(size=shape) * np.linspace(0.5, 3, shape[1])
    axes = principal_axes(torch.from_numpy(x)).numpy()
    # scikit-learn's are of centred samples.
    both = np.vstack([x, -x])
    expected = PCA(n_axes, svd_solver="full").fit(both).components_
    np.testing.assert_allclose(np.abs((axes * expected).sum(axis=1)), 1, rtol=1e-6)
    np.testing.assert_allclose(axes @ axes.T, np.eye(n_axes), atol=1e-8)


def test_there_are_no_more_axes_than_samples_span(rng):
    x = np.outer(rng.normal(size=9), rng.normal(size=5))
    assert principal_axes(torch.from_numpy(x)).shape == (1, 5)


def test_the_map_gives_one_set_the_covariance_of_the_other(rng):
    source, target = rng.normal(size=(500, 3)), rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3))
    found = optimal_map(source, target)
    shrunk = [
        shrunk_covariance(empirical_covariance(x), max(ledoit_wolf_shrinkage(x), 1e-3))
        for x in (source, target)
    ]
    np.testing.assert_allclose(found @ shrunk[0] @ found, shrunk[1], rtol=1e-6)
    half = sqrtm(shrunk[0])
    inverse = np.linalg.inv(half)
    np.testing.assert_allclose(found, inverse @ sqrtm(half @ shrunk[1] @ half) @ inverse, rtol=1e-6)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (SOME, SOME[:2]),
        (0 * SOME, SOME),
        (SOME, 0 * SOME),
    ],
    ids=["two samples", "still sources", "a still target"],
)
def test_too_little_to_know_a_covariance_leaves_factors_as_they_are(source, target):
    np.testing.assert_array_equal(optimal_map(source, target), np.eye(2))


def test_moved_deviations_vary_together_as_those_of_the_target(rng):
    n_genes = 8
    loading = rng.normal(size=n_genes)
    labels = np.repeat([0, 1, 2], 300)
    x = rng.normal(size=(900, n_genes))
    x[labels == 2] += 2 * rng.normal(size=(300, 1)) * loading  # the genes of class 2 go together
    ones = torch.ones(3, n_genes)
    samples = Samples(Rows(torch.tensor(x, dtype=torch.float32)), torch.from_numpy(labels))
    factors = find_factors(samples, ClassStatistics(0 * ones, ones), torch.tensor([2]), seed=0)
    axes, turn, rest = factors.axes.numpy(), factors.maps[0].numpy(), factors.rest[0].numpy()
    u = x[labels != 2]
    moved = u @ axes.T @ turn @ axes + rest * (u - u @ axes.T @ axes)
    wanted, before, found = (np.cov(part.T) for part in (x[labels == 2], u, moved))
    assert np.linalg.norm(found - wanted) < 0.15 * np.linalg.norm(before - wanted)


def test_the_rest_takes_the_spread_of_the_target(rng):
    x = rng.normal(size=(600, 3))
    x[:, 0] *= 50  # the one factor
    labels = np.repeat([0, 1], 300)
    x[labels == 1, 2] *= 2
    ones = torch.ones(2, 3)
    samples = Samples(Rows(torch.tensor(x, dtype=torch.float32)), torch.from_numpy(labels))
    rest = find_factors(samples, ClassStatistics(0 * ones, ones), torch.tensor([1]), 0).rest[0]
    squares = [np.square(x[labels == c]).sum(axis=0) for c in (0, 1)]
    variance = (squares[1] + 5 * squares[0] / 300) / (300 + 5)
    np.testing.assert_allclose(rest[1:], np.sqrt(variance / (squares[0] / 300))[1:], rtol=2e-2)
    assert rest[2] == pytest.approx(2, rel=0.15)


def test_many_samples_are_drawn_from_the_same_way_with_a_seed():
    """More than 2,000."""
    samples = Samples(Rows(torch.rand(6000, 4)), torch.arange(6000) % 2)
    statistics = ClassStatistics(torch.full((2, 4), 0.5), torch.ones(2, 4))
    one, same, other = (find_factors(samples, statistics, torch.tensor([0]), s) for s in (1, 1, 2))
    assert torch.equal(one.maps, same.maps)
    assert not torch.equal(one.axes, other.axes)
