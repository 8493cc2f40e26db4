from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, wasserstein_distance

from scgan_perturb.metrics import correlation_agreement, marginal_distance
from scgan_perturb.metrics._gene_distributions import wasserstein
from scgan_perturb.metrics._moments import pearson

RNG = np.random.default_rng(0)
A, B = RNG.gamma(2, size=(17, 8)), RNG.gamma(3, size=(12, 8)) @ RNG.random((8, 8))


@pytest.mark.parametrize(("n_a", "n_b"), [(17, 12), (12, 12), (5, 10), (1, 7), (5, 1)])
def test_the_distance_of_each_gene_is_that_of_scipy(n_a, n_b):
    a, b = A[:n_a], B[:n_b]
    expected = [wasserstein_distance(a[:, gene], b[:, gene]) for gene in range(8)]
    np.testing.assert_allclose(wasserstein(a, b), expected)


def test_ties_and_zeros_count_as_in_scipy():
    a, b = RNG.poisson(1, (20, 4)), RNG.poisson(2, (9, 4))
    expected = [wasserstein_distance(a[:, gene], b[:, gene]) for gene in range(4)]
    np.testing.assert_allclose(wasserstein(a, b), expected)


def test_the_distance_is_a_share_of_the_spread():
    expected = sum(wasserstein_distance(A[:, gene], B[:, gene]) for gene in range(8))
    assert marginal_distance(A, B) == pytest.approx(expected / B.std(axis=0).sum())
    assert marginal_distance(3 * A + 1, 3 * B + 1) == pytest.approx(marginal_distance(A, B))


def test_copies_do_not_change_a_distribution():
    assert marginal_distance(np.repeat(B, 3, axis=0), B) == pytest.approx(0)


def test_a_constant_gene_counts_with_its_distance():
    b = np.c_[[0.0, 2.0], [1.0, 1.0]]
    assert marginal_distance(b + np.array([0, 0.5]), b) == pytest.approx(0.5)


def test_without_spread_there_is_no_unit():
    assert np.isnan(marginal_distance(np.zeros((3, 2)), np.ones((3, 2))))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
def test_the_distance_minds_no_type(dtype):
    rng = np.random.default_rng(1)
    a, b = rng.poisson(1, (9, 4)).astype(dtype), rng.poisson(2, (6, 4)).astype(dtype)
    assert b.std() > 0
    expected = marginal_distance(a.astype(float), b.astype(float))
    assert marginal_distance(a, b) == pytest.approx(expected)


def upper(samples: np.ndarray) -> np.ndarray:
    matrix = pd.DataFrame(samples).corr().to_numpy()
    return matrix[np.triu_indices(len(matrix), 1)]


@pytest.mark.parametrize("n_samples", [12, 5])
def test_agreement_is_that_of_pandas_correlations(n_samples):
    expected = pearsonr(upper(A[:n_samples]), upper(B[:n_samples])).statistic
    assert correlation_agreement(A[:n_samples], B[:n_samples]) == pytest.approx(expected)


def test_only_the_genes_that_vary_most_in_real_samples_count():
    most = np.argsort(-B.var(axis=0))[:4]
    expected = pearsonr(upper(A[:, most]), upper(B[:, most])).statistic
    assert correlation_agreement(A, B, n_genes=4) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_gene_has_no_correlation(value):
    a = A.copy()
    a[:, 2] = value
    expected = pearsonr(np.nan_to_num(upper(a)), upper(B)).statistic
    assert correlation_agreement(a, B) == pytest.approx(expected)


def test_scale_and_shift_of_genes_leave_correlations():
    scales = RNG.uniform(0.1, 5, 8)
    assert correlation_agreement(B * scales + 7, B) == pytest.approx(1)


def test_genes_in_a_random_order_of_samples_have_lost_their_correlations():
    rng = np.random.default_rng(1)
    b = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 40))
    assert abs(correlation_agreement(rng.permuted(b, axis=0), b)) < 0.15


@pytest.mark.parametrize("n_genes", [1, 2])
def test_fewer_than_two_pairs_of_genes_agree_in_nothing(n_genes):
    assert np.isnan(correlation_agreement(A[:, :n_genes], B[:, :n_genes]))


def test_collapsed_samples_agree_in_nothing():
    assert np.isnan(correlation_agreement(np.repeat(A[:1], 9, axis=0), B))


@pytest.mark.parametrize("measure", [marginal_distance, correlation_agreement])
def test_one_sample_is_too_few(measure):
    with pytest.raises(ValueError, match="at least 2 samples on each side, not 1 and 12"):
        measure(A[:1], B)


def test_pearson_is_that_of_scipy_row_by_row():
    a, b = RNG.normal(size=(2, 3, 10))
    expected = [pearsonr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(pearson(a, b), expected)


def test_a_constant_but_for_rounding_has_no_correlation():
    assert np.isnan(pearson(np.full(7, 0.1) * 3, np.arange(7.0)))
    assert np.isnan(pearson(0.3 + np.array([0, 5e-17, -5e-17]), np.arange(3.0)))
