from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from scgan_perturb.metrics import two_sample_auc
from scgan_perturb.metrics._two_sample import IndependentClassifiers

RNG = np.random.default_rng(0)


def test_the_rotation_changes_nothing():
    a, b = RNG.normal(size=(20, 90)), RNG.normal(size=(15, 90)) + 0.15
    expected = cross_val_score(
        LogisticRegression(class_weight="balanced", max_iter=1000),
        np.vstack([a, b]),
        np.repeat([0, 1], [20, 15]),
        cv=StratifiedKFold(5, shuffle=True, random_state=3),
        scoring="roc_auc",
    ).mean()
    assert 0.5 < expected < 1
    assert two_sample_auc(a, b, rng=3) == pytest.approx(expected)


def test_sets_of_one_distribution_are_not_told_apart():
    found = [two_sample_auc(*RNG.normal(size=(2, 25, 5)), rng=seed) for seed in range(20)]
    assert 0.4 < np.mean(found) < 0.6


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
