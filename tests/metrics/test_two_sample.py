from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from scgan_perturb.metrics import _two_sample, two_sample_auc
from scgan_perturb.metrics._two_sample import HeldOutScores, IndependentClassifiers, held_out_scores

CLASSIFIERS = ("random_forest", "logistic_regression")
both_classifiers = pytest.mark.parametrize("classifier", CLASSIFIERS)


@pytest.fixture(autouse=True)
def small_forest(monkeypatch):
    monkeypatch.setattr(_two_sample, "N_TREES_PER_FOLD", 8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def plain_auc(a, b, classifier: str, weight: str | None = "balanced", *, rng: int = 0) -> float:
    """scikit-learn's: the mean over the folds, weighted by their pairs."""
    x, y = np.vstack([a, b]), np.repeat([0, 1], [len(a), len(b)])
    aucs, n_pairs = [], []
    for seed in (rng,):
        n_trees = _two_sample.N_TREES_PER_FOLD
        model = {
            "random_forest": RandomForestClassifier(
                n_trees, class_weight=weight, random_state=seed
            ),
            "logistic_regression": LogisticRegression(class_weight=weight, max_iter=1000, tol=1e-8),
        }[classifier]
        folds = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(x, y))
        scores = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
        aucs += [roc_auc_score(y[test], scores[test]) for _, test in folds]
        n_pairs += [y[test].sum() * (1 - y[test]).sum() for _, test in folds]
    return np.average(aucs, weights=n_pairs)


@pytest.mark.parametrize("n_b", [20, 17], ids=["equal", "unequal"])
def test_the_linear_auc_is_that_of_scikit_learn(n_b, rng):
    a, b = rng.normal(size=(20, 30)), rng.normal(size=(n_b, 30)) + 0.3
    expected = plain_auc(a, b, "logistic_regression", rng=3)
    assert 0.5 < expected < 1
    found = two_sample_auc(a, b, classifier="logistic_regression", rng=3)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("n_b", [30, 12], ids=["equal", "unequal"])
def test_the_forests_auc_is_that_of_scikit_learn_but_for_chance(n_b, monkeypatch):
    monkeypatch.setattr(_two_sample, "N_TREES_PER_FOLD", 30)
    found, expected = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=(30, 8)), rng.normal(size=(n_b, 8)) * [2, 2, 1, 1, 1, 1, 1, 1] + 0.2
        found.append(two_sample_auc(a, b, rng=seed))
        expected.append(plain_auc(a, b, "random_forest", rng=seed))
    assert 0.6 < np.mean(expected) < 0.9
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.08)  # three standard errors


def test_the_rotation_changes_nothing(rng):
    a, b = rng.normal(size=(20, 90)), rng.normal(size=(15, 90)) + 0.15
    expected = plain_auc(a, b, "logistic_regression")
    assert 0.5 < expected < 1
    assert two_sample_auc(a, b, classifier="logistic_regression") == pytest.approx(expected)


def test_both_sets_weigh_the_same():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(90, 20)), rng.normal(size=(10, 20)) + 0.3
    expected = plain_auc(a, b, "logistic_regression")
    assert expected != pytest.approx(plain_auc(a, b, "logistic_regression", None), abs=0.005)
    assert two_sample_auc(a, b, classifier="logistic_regression") == pytest.approx(expected)


def test_the_forest_sees_what_a_linear_test_cannot():
    rng = np.random.default_rng(0)
    a = rng.choice([0.0, 1.0], (60, 4))  # zeros, that became small numbers below
    b = np.where(a == 0, 0.05, np.where(rng.random(a.shape) < 0.5, 0.9, 1.05))
    assert two_sample_auc(a, b) > 0.99
    assert two_sample_auc(a, b, classifier="logistic_regression") < 0.7


def test_the_forest_sees_genes_that_no_longer_vary_together(rng):
    a = rng.normal(size=(200, 1)) * np.ones(2)
    b = rng.permuted(a, axis=0)
    assert two_sample_auc(a, b) > 0.65
    assert two_sample_auc(a, b, classifier="logistic_regression") < 0.6


@both_classifiers
def test_sets_of_one_distribution_are_not_told_apart(classifier):
    rng = np.random.default_rng(0)
    found = [
        two_sample_auc(*rng.normal(size=(2, 25, 5)), classifier=classifier, rng=seed)
        for seed in range(8)
    ]
    assert 0.4 < np.mean(found) < 0.6


@both_classifiers
@pytest.mark.parametrize("n_samples", [5, 30])
@pytest.mark.parametrize(
    "change",
    [
        np.copy,
        lambda x: x[::-1],
        lambda x: x.astype(np.float32),
        lambda x: np.where(x == 0, -0.0, x),
    ],
    ids=["copy", "order", "float32", "minus zero"],
)
def test_the_same_samples_are_not_told_apart(classifier, change, n_samples, rng):
    a = rng.normal(size=(n_samples, 6)).clip(0)
    a[:, 0] += 0.1
    assert two_sample_auc(change(a), a, classifier=classifier) == pytest.approx(0.5, abs=1e-9)


def test_copies_share_a_fold(rng):
    a, b = rng.normal(size=(12, 3))[rng.integers(12, size=40)], rng.normal(size=(30, 3))
    b[:4] = a[:4]
    found = held_out_scores(a, b, classifier="logistic_regression")
    fold = np.append(found.fold_a, found.fold_b)
    for sample in np.unique(a, axis=0):
        assert len(np.unique(fold[(np.vstack([a, b]) == sample).all(axis=1)])) == 1


@both_classifiers
def test_random_real_samples_are_not_told_by_their_repeats(classifier):
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=(2, 30, 6))
        drawn = a[rng.integers(30, size=45)]
        found.append(two_sample_auc(drawn, b, classifier=classifier, rng=seed))
    assert 0.4 < np.mean(found) < 0.6


@both_classifiers
@pytest.mark.parametrize("n_different", [1, 2, 4])
def test_collapsed_samples_are_told_apart(classifier, n_different, rng):
    # Far from the mean of the real ones, for the linear test.
    a = rng.normal(np.eye(6)[0] * 4, size=(n_different, 6)).repeat(40 // n_different, axis=0)
    assert two_sample_auc(a, rng.normal(size=(30, 6)), classifier=classifier) > 0.97


def test_copies_of_one_real_sample_are_told_apart(rng):
    b = rng.normal(size=(30, 6))
    assert two_sample_auc(np.repeat(b[:1], 30, axis=0), b) > 0.95


@both_classifiers
def test_sets_without_any_difference_are_a_tie(classifier):
    assert two_sample_auc(np.ones((9, 3)), np.ones((7, 3)), classifier=classifier) == 0.5


@both_classifiers
def test_constant_genes_change_nothing(classifier, rng):
    a, b = rng.normal(size=(20, 4)), rng.normal(size=(20, 4)) + 0.5
    wide_a, wide_b = (np.c_[samples, np.full((20, 1), 0.1)] for samples in (a, b))
    narrow = two_sample_auc(a, b, classifier=classifier)
    assert two_sample_auc(wide_a, wide_b, classifier=classifier) == pytest.approx(narrow, abs=0.1)


@both_classifiers
def test_a_sample_for_each_fold_is_enough(classifier):
    a = np.arange(5.0)[:, None]
    assert two_sample_auc(a, a + 9, classifier=classifier) == 1


@both_classifiers
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_sets_of_any_scale_raise_no_warning(classifier, scale, rng):
    a = rng.normal(size=(20, 4))
    assert 0 <= two_sample_auc(scale * a, scale * (a[::-1] + 1), classifier=classifier) <= 1


@both_classifiers
def test_whole_numbers_can_be_told_apart(classifier, rng):
    a = rng.poisson(3, (20, 4))
    assert two_sample_auc(a, a + 20, classifier=classifier) == 1


@both_classifiers
def test_a_seed_gives_the_same_again(classifier, rng):
    a, b = rng.normal(size=(2, 20, 4))
    first, second = (two_sample_auc(a, b, classifier=classifier, rng=3) for _ in range(2))
    assert first == second


def test_only_pairs_within_a_fold_count():
    scores = HeldOutScores(
        a=np.array([0.1, 0.9]),
        b=np.array([0.5, 0.9, 0.2]),
        fold_a=np.array([0, 1]),
        fold_b=np.array([0, 1, 1]),
    )
    in_order, counts = scores.pairs()
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 1, 1]])
    np.testing.assert_array_equal(in_order, [[1, 0, 0], [0, 0.5, 0]])
    assert scores.auc == 0.5


def test_there_must_be_a_sample_for_each_fold():
    with pytest.raises(ValueError, match="5 folds need at least 5 samples .* not 9 and 4"):
        two_sample_auc(np.zeros((9, 2)), np.zeros((4, 2)))


def test_an_unknown_classifier_is_refused():
    with pytest.raises(ValueError, match="classifier"):
        two_sample_auc(np.zeros((9, 2)), np.zeros((9, 2)), classifier="oracle")


def test_independent_classifiers_are_those_of_scikit_learn(rng):
    train, new = rng.normal(size=(2, 40, 80))
    labels = np.repeat(["a", "b", "c", "d"], 10)
    train += (np.unique(labels, return_inverse=True)[1] * 0.3)[:, None]
    said = IndependentClassifiers(train, labels, seed=0).predict(new)
    plain = LogisticRegression(max_iter=1000).fit(train, labels).predict(new)
    assert len(set(plain)) > 1
    assert list(said["logistic_regression"]) == list(plain)
    again = IndependentClassifiers(train, labels, seed=0).predict(train)
    assert (again["random_forest"] == labels).all()
