from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from scgan_perturb.metrics import distinct_values_auc
from scgan_perturb.metrics._distinct import distinct_share

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(RNG.gamma(0.4, 3, 80), (40, 80))
CELLS = np.log1p(COUNTS * 10_000 / COUNTS.sum(1, keepdims=True))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.5, 1.5, 2.5, 0.0], 2 / 3),
        ([0.0, 0.0, 0.0, 0.0], 0.0),
        ([1.0, 2.0, 3.0, 4.0], 1.0),
        ([-1.0, -1.0, 2.0, 3.0], 1.0),
        ([1.5, 1.50001, 1.49999, 3.0], 0.5),
    ],
    ids=["repeated", "no value", "all distinct", "negative", "rounded"],
)
def test_the_share_of_distinct_values_is_of_those_above_0(values, expected):
    assert distinct_share(np.array([values])) == pytest.approx(expected)


def test_the_share_is_that_of_unique_counts():
    expected = [len(np.unique(row[row > 0])) / (row > 0).sum() for row in COUNTS]
    np.testing.assert_allclose(distinct_share(CELLS.astype(np.float32)), expected)


def test_real_cells_are_not_told_from_real_ones_but_shifted_ones_are():
    assert distinct_values_auc(CELLS[:20], CELLS[20:]) == pytest.approx(0.5, abs=0.25)
    shifted = np.maximum(CELLS[:20] + RNG.normal(0, 0.1, 80), 0)
    assert distinct_values_auc(shifted, CELLS[20:]) == 1


def test_the_auc_is_that_of_mann_whitneys_u():
    a, b = CELLS[:15], CELLS[15:] * (RNG.random((25, 80)) < 0.7)
    u = mannwhitneyu(distinct_share(a), distinct_share(b)).statistic
    assert distinct_values_auc(a, b) == pytest.approx(u / (len(a) * len(b)))


def test_a_set_without_samples_is_refused():
    with pytest.raises(ValueError, match="sample"):
        distinct_values_auc(CELLS[:0], CELLS)
