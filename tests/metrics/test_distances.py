from __future__ import annotations

import itertools

import numpy as np
import pytest

from scgan_perturb.metrics import energy_distance


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


def test_one_sample_is_too_few():
    with pytest.raises(ValueError, match="at least 2 samples on each side, not 1 and 3"):
        energy_distance(np.zeros((1, 2)), np.zeros((3, 2)))
