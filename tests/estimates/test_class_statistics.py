from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from scgan_perturb.data._rows import ScaledRows
from scgan_perturb.data._scaling import GeneScaler
from scgan_perturb.estimates import _class_statistics
from scgan_perturb.estimates._class_statistics import BLOCK, PRIOR_SAMPLES, class_statistics
from tests.estimates.rows import Rows

SIZES = (60, 12, 3, 1)
ENDS = np.cumsum(SIZES)[:-1]
LABELS = np.repeat(np.arange(len(SIZES)), SIZES)


@pytest.fixture
def x() -> np.ndarray:
    """Samples of four classes, from a large one to a single sample."""
    rng = np.random.default_rng(3)
    means = rng.uniform(0.3, 0.7, size=(len(SIZES), 8))
    return (means[LABELS] + rng.normal(0, 0.08, size=(len(LABELS), 8))).clip(0, 1)


def estimate(x: np.ndarray, labels: np.ndarray = LABELS) -> tuple[np.ndarray, np.ndarray]:
    found = class_statistics(
        Rows(torch.from_numpy(x.astype(np.float32))), torch.from_numpy(labels), labels.max() + 1
    )
    return found.mean.numpy(), found.spread.numpy()


def by_hand(x: np.ndarray, labels: np.ndarray = LABELS) -> tuple[np.ndarray, np.ndarray]:
    """The same from the formulas, one gene at a time."""
    n_classes = labels.max() + 1
    mean, spread = np.empty((2, n_classes, x.shape[1]))
    for gene in range(x.shape[1]):
        groups = [x[labels == c, gene] for c in range(n_classes)]
        squares = np.array([((g - g.mean()) ** 2).sum() for g in groups])
        counts = np.array([len(g) for g in groups])
        within = squares.sum() / (len(x) - n_classes)
        variance = (squares + PRIOR_SAMPLES * within) / (counts - 1 + PRIOR_SAMPLES)
        means = np.array([g.mean() for g in groups])
        # DerSimonian and Laird, with weights n / within.
        weights = counts / within
        pooled = np.average(means, weights=weights)
        q = (weights * (means - pooled) ** 2).sum()
        scale = weights.sum() - (weights**2).sum() / weights.sum()
        between = max((q - (n_classes - 1)) / scale, 0)
        precision = 1 / (between + within / counts)
        centre = np.average(means, weights=precision)
        mean[:, gene] = centre + between * precision * (means - centre)
        spread[:, gene] = np.sqrt(variance)
    return mean, spread


def test_estimates_are_those_of_empirical_bayes_gene_by_gene(x):
    for found, expected in zip(estimate(x), by_hand(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_small_noisy_classes_lean_on_the_others_and_large_ones_hardly(x):
    mean = estimate(x)[0]
    plain = np.stack([x[members].mean(axis=0) for members in np.split(np.arange(len(x)), ENDS)])
    centre = plain.mean(axis=0)
    moved = np.abs(mean - plain).mean(axis=1) / np.abs(plain - centre).mean(axis=1)
    assert moved[0] < 0.02
    assert moved[3] > 0.05
    assert (np.diff(moved) > 0).all()  # the fewer samples, the farther
    assert (mean >= plain.min(axis=0)).all()
    assert (mean <= plain.max(axis=0)).all()


def test_classes_that_do_not_differ_share_one_mean():
    half = np.random.default_rng(0).uniform(size=(20, 5))
    mean = estimate(np.concatenate([half, half]), np.repeat([0, 1], 20))[0]
    np.testing.assert_allclose(mean, np.tile(half.mean(axis=0), (2, 1)), rtol=1e-5)


def test_classes_without_spread_have_their_own_means_and_the_least_spread():
    x = np.array([[0.1, 0.9]] * 3 + [[0.8, 0.9]] * 3)
    mean, spread = estimate(x, np.repeat([0, 1], 3))
    np.testing.assert_allclose(mean, [[0.1, 0.9], [0.8, 0.9]], rtol=1e-6)
    np.testing.assert_allclose(spread, _class_statistics.MIN_SPREAD, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_sparse_rows_and_many_blocks_give_the_same(x, kind):
    x, labels = np.tile((x * (x > 0.4)).astype(np.float32), (20, 1)), np.tile(LABELS, 20)
    assert len(x) > 2 * BLOCK
    everyone = np.arange(len(x))
    scaler = GeneScaler.fit(x, everyone)
    rows = ScaledRows(kind(x), everyone, scaler, torch.device("cpu"))
    found = class_statistics(rows, torch.from_numpy(labels), len(SIZES))
    mean, spread = by_hand(scaler.transform(x), labels)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-4)
    np.testing.assert_allclose(found.spread, spread.clip(_class_statistics.MIN_SPREAD), rtol=1e-4)
