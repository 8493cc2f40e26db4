from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from scgan_perturb.metrics import individuality

RNG = np.random.default_rng(0)
GROUPS = np.repeat(["a", "b"], [20, 12])
BEFORE = RNG.gamma(2, size=(32, 5)) + (GROUPS == "b")[:, None]


def plain(before, after, groups) -> float:
    """SciPy's correlation, gene by gene and class by class."""
    total = 0.0
    for label in np.unique(groups):
        rows = groups == label
        pairs = zip(before[rows].T, after[rows].T, strict=True)
        total += rows.sum() * np.mean([spearmanr(*pair).statistic for pair in pairs])
    return total / len(groups)


def test_it_is_spearmans_correlation_within_classes():
    after = BEFORE + RNG.normal(size=BEFORE.shape)
    assert individuality(BEFORE, after, GROUPS) == pytest.approx(plain(BEFORE, after, GROUPS))


def test_ties_count_as_in_scipy():
    before = RNG.poisson(1.5, BEFORE.shape)
    after = before + RNG.poisson(1.5, BEFORE.shape)
    assert individuality(before, after, GROUPS) == pytest.approx(plain(before, after, GROUPS))


@pytest.mark.parametrize(
    "move",
    [np.exp, np.log, lambda x: x + 3, lambda x: 1e-6 * x, np.float32],
    ids=["exp", "log", "shift", "scale", "float32"],
)
def test_a_monotone_map_keeps_all_of_it(move):
    assert individuality(BEFORE, move(BEFORE), GROUPS) == pytest.approx(1)


def test_a_map_of_each_class_keeps_all_of_it():
    after = np.where((GROUPS == "a")[:, None], 2 * BEFORE, BEFORE - 9)
    assert individuality(BEFORE, after, GROUPS) == pytest.approx(1)


def test_the_opposite_order_is_minus_one():
    assert individuality(BEFORE, -BEFORE, GROUPS) == pytest.approx(-1)


def test_random_real_samples_have_none():
    found = [individuality(BEFORE, BEFORE[RNG.integers(32, size=32)], GROUPS) for _ in range(100)]
    assert abs(np.mean(found)) < 0.03


def test_the_class_alone_is_no_individuality():
    means = np.where((GROUPS == "a")[:, None], 0.0, 5.0)
    after = means + np.random.default_rng(1).normal(size=(32, 50))
    before = means + np.random.default_rng(2).normal(size=(32, 50))
    assert abs(individuality(before, after, GROUPS)) < 0.15


def test_a_collapsed_gene_counts_as_zero():
    after = BEFORE.copy()
    after[:, :2] = 0.1
    assert individuality(BEFORE, after, GROUPS) == pytest.approx(3 / 5)
    assert individuality(BEFORE, np.zeros_like(BEFORE), GROUPS) == 0


def test_a_gene_that_was_constant_does_not_count():
    before = BEFORE.copy()
    before[:, 0] = 0.1
    assert individuality(before, BEFORE, GROUPS) == pytest.approx(1)


def test_small_classes_do_not_count():
    groups = np.array(["a"] * 30 + ["b"] * 2)
    after = BEFORE.copy()
    after[30:] = after[:29:-1]
    assert individuality(BEFORE, after, groups) == pytest.approx(1)


@pytest.mark.parametrize("n_samples", [1, 2])
def test_fewer_than_three_samples_have_no_ranks(n_samples):
    few = BEFORE[:n_samples]
    assert np.isnan(individuality(few, few, np.zeros(n_samples)))


def test_where_nothing_varied_there_is_none_to_keep():
    assert np.isnan(individuality(np.ones((5, 2)), BEFORE[:5, :2], np.zeros(5)))
