from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from scgan_perturb.metrics import detected_genes_auc, zero_difference
from scgan_perturb.metrics._zeros import exceeds, n_detected, zero_share

RNG = np.random.default_rng(0)


def sparse_sets() -> tuple[np.ndarray, np.ndarray]:
    a, b = RNG.poisson(1.2, (25, 20)).astype(float), RNG.poisson(1, (18, 20)).astype(float)
    return a, b


def test_the_difference_of_zeros_is_that_of_counted_zeros():
    a, b = sparse_sets()
    expected = np.count_nonzero(a == 0) / a.size - np.count_nonzero(b == 0) / b.size
    assert zero_difference(a, b) == pytest.approx(expected)


def test_a_set_without_zeros_has_too_few():
    a = np.array([[0.0, 1.0], [0.0, 2.0]])
    assert zero_difference(a + 0.01, a) == -0.5
    assert zero_difference(0 * a, a) == 0.5
    assert zero_difference(a, a) == 0


@pytest.mark.parametrize("noise", [1e-8, -1e-8])
def test_what_rounding_leaves_of_a_zero_is_one(noise):
    a = np.array([[0.0, 1.0], [0.0, 2.0]])
    assert zero_difference(a + noise, a) == 0
    assert detected_genes_auc(a + noise, a) == 0.5


def test_the_auc_of_detected_genes_is_that_of_scikit_learn():
    a, b = sparse_sets()
    n_genes = np.r_[(a > 0).sum(axis=1), (b > 0).sum(axis=1)]
    assert len(np.unique(n_genes)) < len(n_genes)  # ties
    expected = roc_auc_score(np.repeat([1, 0], [len(a), len(b)]), n_genes)
    assert detected_genes_auc(a, b) == pytest.approx(expected)


def test_the_auc_of_detected_genes_is_that_of_mann_whitneys_u():
    a, b = sparse_sets()
    u = mannwhitneyu((a > 0).sum(axis=1), (b > 0).sum(axis=1)).statistic
    assert detected_genes_auc(a, b) == pytest.approx(u / (len(a) * len(b)))


def test_negative_values_are_neither_zero_nor_detected():
    a = np.array([[-1.0, 1.0]])
    assert zero_share(a) == 0
    assert n_detected(a) == 1


def test_each_gene_can_have_a_zero_of_its_own():
    zero = np.array([0.25, -0.5])
    scaled = np.array([[0.25, -0.5], [0.5, -0.5], [0.5, 0.0]])
    np.testing.assert_array_equal(zero_share(scaled, zero), [1, 0.5, 0])
    np.testing.assert_array_equal(n_detected(scaled, zero), [0, 1, 2])
    np.testing.assert_array_equal(zero_share(scaled.astype(np.float32), zero), [1, 0.5, 0])


def test_a_tie_is_half_of_a_larger_number():
    found = exceeds(np.array([1, 2]), np.array([1, 2, 3]))
    np.testing.assert_array_equal(found, [[0.5, 0, 0], [1, 0.5, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_zeros_mind_no_type(dtype):
    a, b = sparse_sets()
    assert zero_difference(a.astype(dtype), b.astype(dtype)) == zero_difference(a, b)
    assert detected_genes_auc(a.astype(dtype), b.astype(dtype)) == detected_genes_auc(a, b)


@pytest.mark.parametrize("measure", [zero_difference, detected_genes_auc])
def test_zeros_of_no_samples_are_refused(measure):
    with pytest.raises(ValueError, match="a has no sample; at least 1 is needed"):
        measure(np.zeros((0, 3)), np.zeros((2, 3)))
