from __future__ import annotations

import numpy as np
import pytest

from scgan_perturb.metrics import bootstrap, energy_distance, mean_r2, mmd, variance_r2
from scgan_perturb.metrics._bootstrap import (
    Comparison,
    Reference,
    mean_across,
    resample,
    resample_groups,
    shares,
)
from scgan_perturb.metrics._intervals import centred_interval, percentile_interval

RNG = np.random.default_rng(0)
A, B = RNG.random((9, 6)) * np.linspace(0.5, 1, 6), RNG.random((7, 6)) * np.linspace(0.5, 1, 6)


def plain(a, b, width: float) -> dict[str, float]:
    return {
        "e_distance": energy_distance(a, b),
        "mmd": mmd(a, b, width=width),
        "mean_r2": mean_r2(a, b),
        "variance_r2": variance_r2(a, b),
    }


def test_the_first_value_is_that_of_the_samples_as_they_are():
    reference = Reference(B, resample(len(B), 2, RNG))
    values = Comparison(A, reference).measure(np.arange(4), resample(4, 2, RNG))
    assert {name: value[0] for name, value in values.items()} == pytest.approx(
        plain(A[:4], B, reference.width)
    )


def distances(rows, x) -> np.ndarray:
    """Distances of pairs of different samples, copies of one sample left out, by a double loop."""
    return np.array([np.linalg.norm(x[i] - x[j]) for i in rows for j in rows if i != j])


def test_resamplings_are_those_of_drawn_rows():
    n_bootstrap = 5
    found = bootstrap(A, B, n_bootstrap=n_bootstrap, width=0.8, rng=4)
    rng = np.random.default_rng(4)
    counts_b, counts_a = (resample(len(x), n_bootstrap, rng)[1:].astype(int) for x in (B, A))
    for place in range(n_bootstrap):
        rows_a, rows_b = (np.repeat(np.arange(len(c)), c) for c in (counts_a[place], counts_b[place]))  # fmt: skip
        across = np.array([np.linalg.norm(A[i] - B[j]) for i in rows_a for j in rows_b])
        within_a, within_b = distances(rows_a, A), distances(rows_b, B)
        assert found["e_distance"][place] == pytest.approx(
            2 * across.mean() - within_a.mean() - within_b.mean()
        )
        kernels = [np.exp(-((d / 0.8) ** 2) / 2).mean() for d in (within_a, within_b, across)]
        assert found["mmd"][place] == pytest.approx(kernels[0] + kernels[1] - 2 * kernels[2])
        assert found["mean_r2"][place] == pytest.approx(mean_r2(A[rows_a], B[rows_b]))
        assert found["variance_r2"][place] == pytest.approx(variance_r2(A[rows_a], B[rows_b]))


def test_resampled_distances_are_not_biased():
    found = bootstrap(A, B, n_bootstrap=20_000)["e_distance"]
    error = found.std() / np.sqrt(len(found))
    # The mean within a set is a ratio: unbiased but for terms of the order of 1/n².
    assert found.mean() == pytest.approx(energy_distance(A, B), abs=3 * error + 0.01)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth = energy_distance(rng.normal(size=(3000, 2)), rng.normal((1.5, 0), size=(3000, 2)))
    hits = 0
    for _ in range(200):
        a, b = rng.normal(size=(25, 2)), rng.normal((1.5, 0), size=(25, 2))
        values = bootstrap(a, b, n_bootstrap=200, rng=rng)["e_distance"]
        low, high = centred_interval(np.array([energy_distance(a, b), *values]))
        hits += low < truth < high
    assert 0.88 < hits / 200 <= 1


def test_an_interval_lies_about_its_value():
    values = np.array([0.9, 0.5, 0.6, 0.7, np.nan])  # all resamplings are below the value
    low, high = centred_interval(values)
    assert low == pytest.approx(0.9 - 0.095)
    assert high == pytest.approx(0.9 + 0.095)
    assert np.isnan(centred_interval(values[:1])).all()


def test_the_interval_of_a_change_stays_within_the_limits_of_the_change():
    changes = np.column_stack([np.full(40, -0.3), np.linspace(-0.3, 0.1, 40)])  # -0.3: all of x
    low, high = percentile_interval(changes)
    np.testing.assert_allclose(low, [-0.3, -0.29], atol=1e-12)
    np.testing.assert_allclose(high, [-0.3, 0.09], atol=1e-12)


def test_a_single_sample_has_a_mean_and_nothing_else():
    reference = Reference(B, resample(len(B), 3, RNG))
    values = Comparison(A, reference).measure(np.array([2]), np.ones((4, 1)))
    assert values["mean_r2"][0] == pytest.approx(mean_r2(A[2:3], B))
    assert all(np.isnan(values[name]).all() for name in ("e_distance", "mmd", "variance_r2"))


def test_two_samples_are_the_least():
    with pytest.raises(ValueError, match="at least 2 samples on each side, not 1 and 7"):
        bootstrap(A[:1], B)


def test_a_group_is_drawn_with_all_its_samples():
    groups, draws = np.array([0, 1, 1, 2]), np.array([[2, 0, 1], [0, 3, 0]])
    found = resample_groups(groups, draws)
    np.testing.assert_array_equal(found, [[1, 1, 1, 1], [2, 0, 0, 1], [0, 3, 3, 0]])


def test_one_sample_a_group_is_the_bootstrap_of_samples():
    counts = resample(6, 4, RNG)
    np.testing.assert_array_equal(resample_groups(np.arange(6), counts[1:]), counts)


def width_of_interval(values: np.ndarray) -> float:
    low, high = centred_interval(values)
    return high - low


@pytest.mark.parametrize(("spread", "least", "most"), [(2.0, 2, 20), (0.0, 0.3, 1.5)])
def test_donors_widen_the_interval_where_they_differ(spread, least, most):
    rng = np.random.default_rng(0)
    donors = np.repeat(np.arange(6), 20)
    a = rng.normal(size=(120, 3)) + spread * rng.normal(size=(6, 3))[donors]
    reference = Reference(rng.normal(3, 1, size=(80, 3)), np.ones((301, 80)))
    draws = resample(6, 300, rng)[1:]
    by_donor, by_sample = (
        width_of_interval(Comparison(a, reference).measure(np.arange(120), counts)["e_distance"])
        for counts in (resample_groups(donors, draws), resample(120, 300, rng))
    )
    assert least < by_donor / by_sample < most


def test_shares_of_a_resampling_without_samples_are_nan():
    found = shares(np.array([[1.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(found, [[0.25, 0.75], [np.nan, np.nan]])


def test_the_mean_across_sets_is_that_of_the_drawn_pairs():
    values = RNG.random((9, 7))
    counts_a, counts_b = resample(9, 3, RNG), resample(7, 3, RNG)
    found = mean_across(values, counts_a, counts_b)
    for place in range(4):
        rows = np.repeat(np.arange(9), counts_a[place].astype(int))
        columns = np.repeat(np.arange(7), counts_b[place].astype(int))
        assert found[place] == pytest.approx(values[np.ix_(rows, columns)].mean())


def test_a_resampling_without_samples_is_nan_in_every_metric():
    reference = Reference(B, np.ones((2, len(B))))
    counts = np.array([np.ones(4), np.zeros(4)])  # no donor of these samples was drawn
    values = Comparison(A, reference).measure(np.arange(4), counts)
    assert all(np.isfinite(value[0]) and np.isnan(value[1]) for value in values.values())
