from __future__ import annotations

import numpy as np
import pytest
import torch

from scgan_perturb.estimates import _familiarity
from scgan_perturb.estimates._class_statistics import class_statistics
from scgan_perturb.estimates._factors import find_factors, project
from scgan_perturb.estimates._familiarity import familiar_distance, root_mean_square
from scgan_perturb.estimates._samples import Samples
from tests.estimates.rows import Rows

N_GENES, N_FACTORS = 80, 3


@pytest.fixture
def world():
    """Draws samples of any class: all deviate along the same few axes, and a little beside them."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(N_FACTORS, N_GENES))
    means = rng.normal(size=(6, N_GENES))

    def draw(labels: np.ndarray) -> torch.Tensor:
        along = rng.normal(size=(len(labels), N_FACTORS)) @ loadings
        x = means[labels] + along + 0.3 * rng.normal(size=(len(labels), N_GENES))
        return torch.tensor(x, dtype=torch.float32)

    return draw


def remainder(u: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
    return root_mean_square(project(u, axes)[1])


def samples_of(x: torch.Tensor, labels: np.ndarray) -> Samples:
    return Samples(Rows(x), torch.from_numpy(labels))


def test_new_samples_of_known_classes_are_within_and_those_of_others_beyond(world):
    labels = np.arange(200) % 5
    samples = samples_of(world(labels), labels)
    limit = familiar_distance(samples, 5, seed=0)
    statistics = class_statistics(samples.rows, samples.labels, 5)
    axes = find_factors(samples, statistics, torch.tensor([0]), 0).axes

    def distances(true: int, taken_for: int) -> torch.Tensor:
        x = world(np.full(100, true))
        return remainder((x - statistics.mean[taken_for]) / statistics.spread[taken_for], axes)

    known = torch.cat([distances(label, label) for label in range(5)])
    assert 0.85 < (known <= limit).float().mean() < 1
    assert (distances(5, 0) > limit).float().mean() > 0.95  # no sample of it has trained


def test_it_is_of_samples_that_had_no_part(world):
    labels = np.arange(60) % 3
    x = world(labels)
    samples = samples_of(x, labels)
    fitted = class_statistics(samples.rows, samples.labels, 3)
    axes = find_factors(samples, fitted, torch.tensor([0]), 0).axes
    u = (x - fitted.mean[samples.labels]) / fitted.spread[samples.labels]
    assert familiar_distance(samples, 3, seed=0) > 1.1 * remainder(u, axes).quantile(
        _familiarity.FAMILIAR_SHARE
    )


def test_classes_of_too_few_samples_make_nothing_unfamiliar(world):
    labels = np.repeat([0, 1], 3)
    assert familiar_distance(samples_of(world(labels), labels), 2, seed=0) == float("inf")


def test_where_the_axes_leave_nothing_all_samples_are_familiar(world):
    labels = np.arange(60) % 3
    samples = samples_of(world(labels)[:, :1], labels)  # one gene, which is the one axis
    assert familiar_distance(samples, 3, seed=0) == _familiarity.LEAST


def test_the_seed_decides(world):
    labels = np.arange(60) % 3
    samples = samples_of(world(labels), labels)
    one, same, other = (familiar_distance(samples, 3, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_the_remainder_is_a_root_mean_square():
    u = np.random.default_rng(0).normal(size=(7, 5))
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 2)))[0].T
    expected = np.sqrt(np.square(u @ (np.eye(5) - axes.T @ axes)).mean(axis=1))
    found = remainder(torch.from_numpy(u), torch.from_numpy(axes))
    np.testing.assert_allclose(found, expected)
