from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from scgan_perturb.metrics import two_sample_auc
from scgan_perturb.metrics._two_sample import IndependentClassifiers

RNG = np.random.default_rng(0)


def plain_auc(a, b, weight: str | None, seed: int) -> float:
    """scikit-learn's, in the genes themselves."""
    return cross_val_score(
        LogisticRegression(class_weight=weight, max_iter=1000),
        np.vstack([a, b]),
        np.repeat([0, 1], [len(a), len(b)]),
        cv=StratifiedKFold(5, shuffle=True, random_state=seed),
        scoring="roc_auc",
    ).mean()


def test_the_rotation_changes_nothing():
    a, b = RNG.normal(size=(20, 90)), RNG.normal(size=(15, 90)) + 0.15
    expected = plain_auc(a, b, "balanced", seed=3)
    assert 0.5 < expected < 1
    assert two_sample_auc(a, b, rng=3) == pytest.approx(expected)


def test_both_sets_weigh_the_same():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(90, 20)), rng.normal(size=(10, 20)) + 0.3
    expected = plain_auc(a, b, "balanced", seed=0)
    assert expected != pytest.approx(plain_auc(a, b, None, seed=0), abs=0.005)
    assert two_sample_auc(a, b) == pytest.approx(expected)


def test_sets_of_one_distribution_are_not_told_apart():
    found = [two_sample_auc(*RNG.normal(size=(2, 25, 5)), rng=seed) for seed in range(20)]
    assert 0.4 < np.mean(found) < 0.6


def test_a_sample_for_each_fold_is_enough():
    a = np.arange(5.0)[:, None]
    assert two_sample_auc(a, a + 9) == 1


def test_there_must_be_a_sample_for_each_fold():
    with pytest.raises(ValueError, match="5 folds need at least 5 samples .* not 9 and 4"):
        two_sample_auc(np.zeros((9, 2)), np.zeros((4, 2)))


def test_independent_classifiers_are_those_of_scikit_learn():
    train, new = RNG.normal(size=(2, 40, 80))
    labels = np.repeat(["a", "b", "c", "d"], 10)
    train += (np.unique(labels, return_inverse=True)[1] * 0.3)[:, None]
    said = IndependentClassifiers(train, labels, seed=0).predict(new)
    plain = LogisticRegression(max_iter=1000).fit(train, labels).predict(new)
    assert len(set(plain)) > 1
    assert list(said["logistic_regression"]) == list(plain)
    again = IndependentClassifiers(train, labels, seed=0).predict(train)
    assert (again["random_forest"] == labels).all()
