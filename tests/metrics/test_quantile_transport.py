from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, spearmanr

from scgan_perturb.metrics import quantile_transport
from scgan_perturb.metrics._quantile_transport import _ranks

LABELS = np.repeat(["a", "b", "t"], [40, 30, 40])


def draw(seed: int = 0, *, zero: float = 0.0) -> np.ndarray:
    """Genes with 0, 10, ... 100 % of zeros in a class, in different shares in each; the rest in [0.2, 1]."""
    rng = np.random.default_rng(seed)
    train = rng.uniform(0.2, 1, (len(LABELS), 11))
    for place, label in enumerate("abt"):
        chosen = label == LABELS
        shares = np.roll(np.linspace(0, 1, 11), place)
        order = rng.permuted(np.tile(np.arange(chosen.sum())[:, None], 11), axis=0)
        train[chosen] = np.where(order < shares * chosen.sum() - 1e-9, zero, train[chosen])
    return train


def move(train: np.ndarray, **options: object) -> np.ndarray:
    return quantile_transport(train, LABELS, train, LABELS, "t", **options)


def move_often(train: np.ndarray, *, times: int = 60, **options: object) -> np.ndarray:
    """Seeds × samples × genes."""
    return np.stack([move(train, rng=seed, **options) for seed in range(times)])


@pytest.mark.parametrize("zero", [0.0, 0.1])
@pytest.mark.parametrize("label", ["a", "b"])
def test_a_class_gets_the_targets_share_of_zeros(label, zero):
    train = draw(zero=zero)
    found = (move_often(train, zero=zero)[:, label == LABELS] == zero).mean(axis=(0, 1))
    np.testing.assert_allclose(found, (train[LABELS == "t"] == zero).mean(axis=0), atol=0.03)


def test_where_as_many_are_zero_they_are_the_same():
    train = draw()
    train[LABELS == "a"] = np.roll(train[LABELS == "t"], 7, axis=0)
    moved = move(train)[LABELS == "a"]
    np.testing.assert_array_equal(moved == 0, train[LABELS == "a"] == 0)


def test_without_ties_a_class_gets_the_targets_distribution_exactly():
    train = np.random.default_rng(0).uniform(0.2, 1, (len(LABELS), 5))
    moved, target = move(train)[LABELS == "a"], train[LABELS == "t"]
    # As many samples a side: the i-th moved one lies between the neighbours of the i-th real one.
    moved, target = np.sort(moved, axis=0), np.sort(target, axis=0)
    assert (moved[1:] >= target[:-1]).all()
    assert (moved[:-1] <= target[1:]).all()


@pytest.mark.parametrize("label", ["a", "b", "t"])
def test_with_ties_a_class_gets_the_targets_distribution_on_average(label):
    train = draw()
    moved = np.concatenate(move_often(train)[:, label == LABELS])
    for found, expected in zip(moved.T, train[LABELS == "t"].T, strict=True):
        assert kstest(found, expected).statistic < 0.06


def test_values_lie_within_those_of_the_target():
    train = draw()
    moved, target = move(train), train[LABELS == "t"]
    others = np.where(target > 0, target, np.inf).min(axis=0)  # nothing lies between 0 and these
    assert ((moved == 0) | ((moved >= others) & (moved <= target.max(axis=0)))).all()


def test_training_samples_keep_their_order():
    train = draw()
    moved = move(train)
    for label in ("a", "b"):
        for x, y in zip(train[label == LABELS].T, moved[label == LABELS].T, strict=True):
            order = np.argsort(x[x > 0])
            assert (np.diff(y[x > 0][order]) >= 0).all()
            assert y[x == 0].max(initial=0) <= y[x > 0].min(initial=1)


def test_zeros_that_must_become_values_are_chosen_at_random():
    train = np.r_[np.zeros(200), np.linspace(0.2, 1, 200)][:, None].repeat(2, axis=1)
    labels = np.repeat(["a", "t"], 200)
    moved = quantile_transport(train[:200], labels[:200], train, labels, "t")
    assert kstest(moved[:, 0], train[200:, 0]).statistic < 0.1
    assert abs(spearmanr(moved[:, 0], moved[:, 1]).statistic) < 0.2
    assert abs(spearmanr(moved[:, 0], np.arange(200)).statistic) < 0.2


def test_genes_that_the_target_never_expresses_become_zero():
    train = draw()
    train[LABELS == "t", :3] = 0
    assert (move(train)[:, :3] == 0).all()


@pytest.mark.parametrize("n_train", [1, 2, 5, 20])
def test_new_samples_of_a_class_get_uniform_ranks(n_train):
    rng = np.random.default_rng(0)
    source, new = rng.random((n_train, 4000)), rng.random((1, 4000))
    ranks = _ranks(new, source, np.zeros(4000), rng)[0]
    assert kstest(ranks, "uniform").pvalue > 0.01


def test_a_new_value_is_no_zero_where_as_many_are_zero():
    train = np.r_[np.zeros(9), 0.5, np.zeros(9), 0.7][:, None]
    new = np.linspace(0.01, 1, 50)[:, None]
    labels = np.repeat(["a", "t"], 10)
    moved = quantile_transport(new, np.repeat("a", 50), train, labels, "t")
    np.testing.assert_array_equal(moved, 0.7)


def test_values_beyond_the_training_range_go_to_the_ends():
    train = np.tile(np.r_[np.zeros(10), np.linspace(0.1, 0.9, 10)][:, None], (2, 3))
    labels = np.repeat(["a", "t"], 20)
    new = np.array([[-30.0, 8.0, 30.0], [-8.0, 16.1, 8.9], [0.0, 1.0, 5.0]] * 5)
    moved = quantile_transport(new, np.repeat("a", 15), train, labels, "t")
    np.testing.assert_array_equal(moved[:, 0], 0)
    np.testing.assert_allclose(moved[:, 1:], 0.9, atol=0.05)


def test_a_class_of_one_training_sample_gets_samples_of_the_target():
    rng = np.random.default_rng(0)
    train, labels = rng.random((51, 300)), np.repeat(["a", "t"], [1, 50])
    moved = quantile_transport(train[:1], labels[:1], train, labels, "t")
    places = (train[1:] <= moved).mean(axis=0)
    assert kstest(places, "uniform").statistic < 0.1


def test_a_target_of_one_training_sample_is_that_sample():
    train, labels = draw()[:41], np.repeat(["a", "t"], [40, 1])
    moved = quantile_transport(train[:40], labels[:40], train, labels, "t")
    np.testing.assert_array_equal(moved, np.repeat(train[40:], 40, axis=0))


def test_each_gene_can_have_a_zero_of_its_own():
    zero = np.linspace(-0.5, 0.15, 11)
    train = np.where(draw() == 0, zero, draw())
    np.testing.assert_allclose(
        move(train, zero=zero), np.where(move(draw()) == 0, zero, move(draw()))
    )


def test_zeros_are_zeros_in_spite_of_rounding():
    train = draw(zero=0.1)
    found = move(train.astype(np.float32), zero=0.1)
    np.testing.assert_array_equal(found == 0.1, move(train, zero=0.1) == 0.1)


def test_whole_numbers_can_be_moved():
    train, labels = np.array([[0], [1], [0], [3]]), np.array(["a", "a", "t", "t"])
    moved = quantile_transport(train[:2], labels[:2], train, labels, "t")
    np.testing.assert_array_equal(moved, [[0], [3]])


def test_a_seed_gives_the_same_again():
    train = draw()
    np.testing.assert_array_equal(move(train, rng=3), move(train, rng=3))
    assert (move(train, rng=3) != move(train, rng=4)).any()


def test_a_label_never_seen_is_refused():
    with pytest.raises(ValueError, match="'new' has no training sample"):
        quantile_transport(draw()[:1], np.array(["new"]), draw(), LABELS, "t")
