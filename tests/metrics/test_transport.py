from __future__ import annotations

import numpy as np
import pytest
from ot.gaussian import bures_wasserstein_mapping
from scipy.linalg import sqrtm
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage

from scgan_perturb.metrics import (
    class_mean_shift,
    diagonal_gaussian_transport,
    full_gaussian_transport,
    linear_gaussian_transport,
)
from scgan_perturb.metrics._gaussian import ledoit_wolf

LABELS = np.repeat(["a", "b", "t"], [9, 12, 10])


def draw(n_genes: int, *, spread: float = 0.03, seed: int = 0) -> np.ndarray:
    """Classes with means, variances and correlations of their own, well within [0, 1]."""
    rng = np.random.default_rng(seed)
    train = np.empty((len(LABELS), n_genes))
    for place, label in enumerate(np.unique(LABELS)):
        mixing = rng.normal(size=(n_genes, n_genes)) / np.sqrt(n_genes) * spread * (1 + place / 2)
        chosen = label == LABELS
        mean = rng.uniform(0.4, 0.6, n_genes)
        train[chosen] = mean + rng.normal(size=(chosen.sum(), n_genes)) @ mixing
    return train


def brute_force(x, source, target) -> np.ndarray:
    """The map with genes × genes covariances, by scikit-learn and SciPy."""
    s, t = LedoitWolf().fit(source), LedoitWolf().fit(target)
    root = sqrtm(s.covariance_).real
    inverse = np.linalg.inv(root)
    linear = inverse @ sqrtm(root @ t.covariance_ @ root).real @ inverse
    return np.clip(t.location_ + (x - s.location_) @ linear, 0, 1)


@pytest.mark.parametrize("n_genes", [5, 21, 60], ids=["fewer genes", "as many", "more genes"])
def test_the_full_map_is_that_of_the_plain_covariances(n_genes):
    train, new = draw(n_genes), draw(n_genes, seed=1)
    moved = full_gaussian_transport(new, LABELS, train, LABELS, "t")
    for label in ("a", "b"):
        chosen = label == LABELS
        expected = brute_force(new[chosen], train[chosen], train[LABELS == "t"])
        np.testing.assert_allclose(moved[chosen], expected, atol=1e-7)


def test_the_full_map_agrees_with_pot_on_genes_by_genes():
    train, new = draw(40), draw(40, seed=1)[LABELS == "a"]
    s, t = (LedoitWolf().fit(train[label == LABELS]) for label in ("a", "t"))
    linear, shift = bures_wasserstein_mapping(
        s.location_, t.location_, s.covariance_, t.covariance_
    )
    moved = full_gaussian_transport(new, np.full(len(new), "a"), train, LABELS, "t")
    np.testing.assert_allclose(moved, (new @ linear + shift).clip(0, 1), atol=1e-7)


def test_the_full_map_forms_no_genes_by_genes_matrix():
    train = draw(60)
    wide = np.tile(train, 2000)  # genes × genes would be 115 GB
    moved = full_gaussian_transport(wide[:1], LABELS[:1], wide, LABELS, "t")
    assert moved.shape == (1, 120_000)


@pytest.mark.parametrize("shape", [(3, 50), (20, 50), (60, 7)])
def test_the_shrinkage_is_that_of_scikit_learn(shape):
    centred = np.random.default_rng(0).normal(size=shape) * np.linspace(1, 5, shape[1])
    centred -= centred.mean(axis=0)
    expected = ledoit_wolf_shrinkage(centred, assume_centered=True)
    assert ledoit_wolf(centred) == pytest.approx(expected)


def test_the_diagonal_map_gives_a_class_the_targets_moments():
    train = draw(30)
    moved = diagonal_gaussian_transport(train, LABELS, train, LABELS, "t")
    for label in ("a", "b", "t"):
        for moment in ("mean", "var"):
            ddof = {} if moment == "mean" else {"ddof": 1}
            found = getattr(moved[label == LABELS], moment)(axis=0, **ddof)
            expected = getattr(train[LABELS == "t"], moment)(axis=0, **ddof)
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_genes_without_spread_are_shifted():
    train = draw(4)
    train[LABELS == "a", 2] = 0.5
    new = train[LABELS == "a"] + 0.01
    moved = diagonal_gaussian_transport(new, np.full(len(new), "a"), train, LABELS, "t")
    np.testing.assert_allclose(moved[:, 2], train[LABELS == "t", 2].mean() + 0.01)


@pytest.mark.parametrize("move", [diagonal_gaussian_transport, full_gaussian_transport])
def test_classes_of_one_sample_get_the_mean_shift(move):
    train, new = draw(8)[8:], draw(8, seed=1)[8:9]
    arguments = (new, LABELS[8:9], train, LABELS[8:], "t")
    np.testing.assert_allclose(move(*arguments), class_mean_shift(*arguments))


@pytest.mark.parametrize("move", [diagonal_gaussian_transport, full_gaussian_transport])
def test_copies_of_one_sample_are_shifted(move):
    train = draw(8)
    train[LABELS == "a"] = 0.1  # whose mean differs from it by rounding
    arguments = (train[:2] + 0.01, LABELS[:2], train, LABELS, "t")
    np.testing.assert_allclose(move(*arguments), class_mean_shift(*arguments))


@pytest.mark.parametrize("move", [diagonal_gaussian_transport, full_gaussian_transport])
def test_what_is_moved_stays_within_the_range(move):
    train = draw(6, spread=0.5).clip(0, 1)
    moved = move(train, LABELS, train, LABELS, "t")
    assert moved.min() >= 0
    assert moved.max() <= 1


@pytest.mark.parametrize("move", [diagonal_gaussian_transport, full_gaussian_transport])
def test_a_label_never_seen_is_refused(move):
    train = draw(6)
    with pytest.raises(ValueError, match="'new' has no training sample"):
        move(train[:1], np.array(["new"]), train, LABELS, "t")


def test_with_all_components_the_linear_map_is_that_of_the_plain_covariances():
    train, new = draw(7), draw(7, seed=1)
    source, target = train[LABELS != "t"], train[LABELS == "t"]
    moved = linear_gaussian_transport(new, source, target)
    np.testing.assert_allclose(moved, brute_force(new, source, target), atol=1e-7)


def test_what_the_components_leave_is_scaled_gene_by_gene():
    rng = np.random.default_rng(0)
    line = np.array([1.0, 1.0, 0.0, 0.0]) / np.sqrt(2)
    noise = np.array([0.0, 0.0, 0.01, 0.02])
    source = 0.4 + rng.normal(size=(400, 1)) * 0.05 * line + rng.normal(size=(400, 4)) * noise
    target = 0.6 + rng.normal(size=(400, 1)) * 0.05 * line + rng.normal(size=(400, 4)) * 2 * noise
    # Between the two lies the difference of the means, along `line` as well, nearly.
    moved = linear_gaussian_transport(source, source, target, n_components=2)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0))
    np.testing.assert_allclose(moved.std(axis=0), target.std(axis=0), rtol=0.15)
    alone = linear_gaussian_transport(source[:5], source, target, n_components=2)
    np.testing.assert_allclose(alone, moved[:5])  # a sample's map does not depend on others


@pytest.mark.parametrize("value", [0.25, 0.1])
def test_sources_that_are_all_alike_are_shifted(value):
    alike, target = np.full((3, 3), value), np.full((3, 3), 0.5)
    np.testing.assert_allclose(linear_gaussian_transport(alike, alike, alike), alike)
    moved = linear_gaussian_transport(alike + 0.01, alike, target)
    np.testing.assert_allclose(moved, target + 0.01)


def test_two_source_samples_have_a_linear_map():
    rng = np.random.default_rng(0)
    source, target = rng.normal(0.4, 0.02, (2, 5)), rng.normal(0.6, 0.02, (30, 5))
    moved = linear_gaussian_transport(source, source, target)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0))


def test_a_linear_map_needs_two_samples_a_side():
    with pytest.raises(ValueError, match="at least 2 samples a side, not 31 and 1"):
        linear_gaussian_transport(draw(4), draw(4), draw(4)[:1])
