from __future__ import annotations

import itertools

import numpy as np
import pytest

from scgan_perturb.metrics import energy_distance, mmd


def test_energy_distance_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))

    def mean(pairs) -> float:
        return np.mean([np.sqrt(((p - q) ** 2).sum()) for p, q in pairs])

    expected = (
        2 * mean(itertools.product(a, b))
        - mean(itertools.combinations(a, 2))
        - mean(itertools.combinations(b, 2))
    )
    assert energy_distance(a, b) == pytest.approx(expected)


def test_energy_distance_of_one_distribution_is_zero_on_average():
    rng = np.random.default_rng(0)
    found = [energy_distance(*rng.normal(size=(2, 6, 4))) for _ in range(2000)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def test_two_samples_are_enough():
    a, b = np.array([[0.0], [1.0]]), np.array([[4.0], [6.0]])
    assert energy_distance(a, b) == pytest.approx(2 * 4.5 - 1 - 2)
    kernel = {d: np.exp(-(d**2) / 2) for d in range(1, 7)}  # of width 1
    across = (kernel[4] + kernel[6] + kernel[3] + kernel[5]) / 4
    assert mmd(a, b, width=1) == pytest.approx(kernel[1] + kernel[2] - 2 * across)


def test_one_sample_is_too_few():
    with pytest.raises(ValueError, match="at least 2 samples on each side, not 1 and 3"):
        energy_distance(np.zeros((1, 2)), np.zeros((3, 2)))


def test_mmd_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))
    width = np.median([np.linalg.norm(p - q) for p, q in itertools.combinations(b, 2)])

    def mean(pairs) -> float:
        return np.mean([np.exp(-((p - q) ** 2).sum() / (2 * width**2)) for p, q in pairs])

    expected = (
        mean(itertools.combinations(a, 2))
        + mean(itertools.combinations(b, 2))
        - 2 * mean(itertools.product(a, b))
    )
    assert mmd(a, b) == pytest.approx(expected)
    assert mmd(a, b, width=5 * width) != pytest.approx(expected)


def test_mmd_of_one_distribution_is_zero_on_average():
    rng = np.random.default_rng(0)
    found = [mmd(*rng.normal(size=(2, 6, 4)), width=2) for _ in range(2000)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def test_mmd_of_equal_samples_needs_no_width():
    assert mmd(np.zeros((3, 2)), np.zeros((3, 2))) == pytest.approx(0)


def test_bad_widths_and_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="must be above 0, not 0"):
        mmd(np.zeros((3, 2)), np.ones((3, 2)), width=0)
    with pytest.raises(ValueError, match="MMD needs at least 2 samples on each side, not 3 and 1"):
        mmd(np.zeros((3, 2)), np.zeros((1, 2)))
