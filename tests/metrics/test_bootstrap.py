from __future__ import annotations

import numpy as np
import pytest

from scgan_perturb.metrics import bootstrap, energy_distance, mean_r2, mmd, variance_r2
from scgan_perturb.metrics._bootstrap import Comparison, Reference, interval, resample

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
    reference = Reference.of(B, n_bootstrap=2, rng=RNG)
    values = Comparison(A, reference).measure(np.arange(4), RNG)
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
        low, high = interval(np.array([energy_distance(a, b), *values]))
        hits += low < truth < high
    assert 0.88 < hits / 200 <= 1


def test_an_interval_lies_about_its_value():
    values = np.array([0.9, 0.5, 0.6, 0.7, np.nan])  # all resamplings are below the value
    low, high = interval(values)
    assert low == pytest.approx(0.9 - 0.095)
    assert high == pytest.approx(0.9 + 0.095)
    assert np.isnan(interval(values[:1])).all()


def test_a_single_sample_has_a_mean_and_nothing_else():
    values = Comparison(A, Reference.of(B, n_bootstrap=3, rng=RNG)).measure(np.array([2]), RNG)
    assert values["mean_r2"][0] == pytest.approx(mean_r2(A[2:3], B))
    assert all(np.isnan(values[name]).all() for name in ("e_distance", "mmd", "variance_r2"))


def test_two_samples_are_the_least():
    with pytest.raises(ValueError, match="at least 2 samples on each side, not 1 and 7"):
        bootstrap(A[:1], B)
