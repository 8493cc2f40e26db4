from __future__ import annotations

import itertools

import numpy as np
import ot
import pytest

from scgan_perturb.metrics import energy_distance, mmd, sinkhorn_w2


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


def exact_w2(a, b) -> float:
    return np.sqrt(ot.emd2([], [], ot.dist(a, b)))


def test_sinkhorn_w2_approaches_the_exact_distance():
    a, b = np.random.default_rng(0).normal(size=(2, 25, 6))
    exact = exact_w2(a, b[:20])
    errors = [
        abs(sinkhorn_w2(a, b[:20], regularisation=weight) - exact) for weight in (0.05, 0.01, 0.003)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * exact


def test_sinkhorn_w2_of_a_shift_is_its_length():
    a = np.random.default_rng(0).normal(size=(30, 3))
    shift = np.array([30.0, 40.0, 0.0])
    assert sinkhorn_w2(a, a + shift) == pytest.approx(50, rel=0.01)


@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
def test_sinkhorn_w2_has_the_units_of_the_input(scale):
    a, b = np.random.default_rng(0).normal(size=(2, 20, 3))
    assert sinkhorn_w2(scale * a, scale * b) == pytest.approx(scale * sinkhorn_w2(a, b))


@pytest.mark.parametrize("n_far", [1, 3])
def test_sinkhorn_w2_sees_samples_far_from_all_others(n_far):
    a, b = np.random.default_rng(0).normal(size=(2, 30, 8))
    a[:n_far] += 1000
    assert sinkhorn_w2(a, b) == pytest.approx(exact_w2(a, b), rel=0.01)
    assert sinkhorn_w2(b, a) == pytest.approx(exact_w2(a, b), rel=0.01)


def test_sinkhorn_w2_of_copies_of_one_sample_is_zero():
    assert sinkhorn_w2(np.ones((4, 2)), np.ones((3, 2))) == 0


def test_sinkhorn_w2_where_most_pairs_coincide_is_exact():
    a, b = np.zeros((10, 2)), np.zeros((10, 2))
    b[0] = 3
    assert sinkhorn_w2(a, b) == pytest.approx(exact_w2(a, b))


def test_sinkhorn_w2_of_single_samples_is_their_distance():
    assert sinkhorn_w2(np.array([[0, 0]]), np.array([[3, 4]])) == pytest.approx(5)


def test_sinkhorn_w2_without_samples_is_refused():
    with pytest.raises(ValueError, match="b has no sample; at least 1 is needed"):
        sinkhorn_w2(np.zeros((3, 2)), np.zeros((0, 2)))
