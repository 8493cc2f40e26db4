"""Classifier two-sample tests, and classifiers that had no part in a fit."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from .._messages import check_choice
from ._zeros import exceeds

if TYPE_CHECKING:
    from collections.abc import Iterator

N_FOLDS = 5
N_TREES = 200
# Of a two-sample test. With 25 trees an AUC of 0.73 is found as 0.65 (quantile transport to dendritic cells).
N_TREES_PER_FOLD = 100
MAX_ITER = 2000  # of the logistic regression; a hundred or so suffice as a rule

TwoSampleClassifier = Literal["random_forest", "logistic_regression"]


class HeldOutScores(NamedTuple):
    """What classifiers that never saw a sample think of it: higher is more like the second set.

    Parameters
    ----------
    a, b
        Score of each sample of the first and of the second set.
    fold_a, fold_b
        Fold in which each sample was held out.
    """

    a: np.ndarray
    b: np.ndarray
    fold_a: np.ndarray
    fold_b: np.ndarray

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """For each pair of a sample of `a` and one of `b`: is it in order, and does it count.

        Scores of different folds come from different classifiers, so only pairs within a fold
        count. A tie is half in order.
        """
        same_fold = self.fold_a[:, None] == self.fold_b
        return same_fold * exceeds(self.b, self.a).T, same_fold.astype(float)

    @property
    def auc(self) -> float:
        """Area under the curve, over all pairs within a fold."""
        in_order, counts = self.pairs()
        return float(in_order.sum() / counts.sum())


def two_sample_auc(
    a: np.ndarray,
    b: np.ndarray,
    *,
    classifier: TwoSampleClassifier = "random_forest",
    n_folds: int = N_FOLDS,
    rng: int = 0,
) -> float:
    """How well a classifier tells two sets of samples apart, cross-validated.

    Both sets weigh the same (Lopez-Paz and Oquab, 2017). A random forest sees what a linear test
    cannot: zeros that became small numbers, genes that no longer vary together. Copies of one
    sample share a fold, so that a copy is not recognised by its twin.

    Parameters
    ----------
    a, b
        Samples × genes, at least `n_folds` samples each.
    classifier
        `"random_forest"`, or `"logistic_regression"`, the linear test.
    n_folds
        Number of folds of the cross-validation.
    rng
        Seed of the folds and of the forest.

    Returns
    -------
    Area under the receiver operating characteristic: how often the classifier puts a pair of
    samples, one of each set, in the right order. 0.5 where it cannot tell them apart, 1 where it
    always can.

    Raises
    ------
    ValueError
        If a set has fewer samples than there are folds, or the classifier is none of the two.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import two_sample_auc
    >>> a = np.random.default_rng(0).normal(size=(20, 3))
    >>> two_sample_auc(a, a + 9)
    1.0
    """
    return held_out_scores(a, b, classifier=classifier, n_folds=n_folds, rng=rng).auc


def held_out_scores(
    a: np.ndarray, b: np.ndarray, *, classifier: str, n_folds: int = N_FOLDS, rng: int = 0
) -> HeldOutScores:
    """Score each sample with a classifier that was fitted on the other folds."""
    from scipy.linalg import LinAlgWarning  # noqa: PLC0415 (slow to import)
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 (slow to import)

    check_choice("classifier", classifier, SCORES)
    if min(len(a), len(b)) < n_folds:
        msg = (
            f"{n_folds} folds need at least {n_folds} samples on each side, "
            f"not {len(a)} and {len(b)}."
        )
        raise ValueError(msg)
    # In the forest's float32, without -0: copies of a sample are the same to the last bit.
    both = np.vstack([a, b]).astype(np.float32) + np.float32(0)
    is_b = np.repeat([0, 1], [len(a), len(b)])
    folds = list(_folds(both, is_b, n_folds, rng))
    if classifier == "logistic_regression":
        # The penalty does not depend on the axes, and the span is small where genes are many.
        centre, axes = span(both.astype(np.float64))
        both = (both - centre) @ axes

    def score(fold: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        train, test = fold
        return SCORES[classifier](both[train], is_b[train], both[test], rng)

    with warnings.catch_warnings():  # where Newton's method fails, scikit-learn takes another
        for category in (ConvergenceWarning, LinAlgWarning):
            warnings.simplefilter("ignore", category)
        # A logistic regression sets warning filters, which are those of all threads.
        with ThreadPoolExecutor(n_folds if classifier == "random_forest" else 1) as threads:
            found = list(threads.map(score, folds))
    scores, fold_of = np.empty(len(both)), np.empty(len(both), dtype=int)
    for i, ((_, test), values) in enumerate(zip(folds, found, strict=True)):
        scores[test], fold_of[test] = values, i
    parts = (values[is_b == side] for values in (scores, fold_of) for side in (0, 1))
    return HeldOutScores(*parts)


def _folds(
    both: np.ndarray, is_b: np.ndarray, n_folds: int, rng: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds; copies of a sample share one.

    A set with fewer different samples than folds is not kept together: that it repeats itself is
    how anybody would recognise it.
    """
    import pandas as pd  # noqa: PLC0415 (slow to import)
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # noqa: PLC0415

    groups = pd.factorize(np.array([row.tobytes() for row in both], dtype=object))[0]
    n_different = [len(np.unique(groups[is_b == side])) for side in (0, 1)]
    if groups.max() + 1 == len(both) or min(n_different) < n_folds:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=rng).split(both, is_b)
    else:
        grouped = StratifiedGroupKFold(n_folds, shuffle=True, random_state=rng)
        folds = grouped.split(both, is_b, groups)
    return folds  # type: ignore[no-any-return]


def _linear(train: np.ndarray, is_b: np.ndarray, test: np.ndarray, rng: int) -> np.ndarray:  # noqa: ARG001
    """Distance from the plane of a logistic regression."""
    # Newton's method: a few steps, where there are as few axes as samples.
    fitted = logistic_regression(class_weight="balanced", solver="newton-cholesky")
    return fitted.fit(train, is_b).decision_function(test)


def _forest(train: np.ndarray, is_b: np.ndarray, test: np.ndarray, rng: int) -> np.ndarray:
    """Share of the trees of a random forest (Breiman, 2001) for which a sample is of the second set.

    scikit-learn's trees, on resampled samples: its own forest spends several times as long on the
    checks of each tree as on growing trees as small as these. Of 0 and 1 the Gini impurity is
    twice the variance, so a regression grows the same trees as a classification, with fewer checks.
    """
    from sklearn import config_context  # noqa: PLC0415 (slow to import)
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415 (slow to import)

    train, test = (np.ascontiguousarray(x, dtype=np.float32) for x in (train, test))
    draws, n_samples = np.random.default_rng(rng), len(train)
    balance = (n_samples / (2 * np.bincount(is_b, minlength=2)))[is_b]  # both sets weigh the same
    answer, score = is_b[:, None].astype(np.float64), np.zeros(len(test))
    with config_context(skip_parameter_validation=True, assume_finite=True):
        for _ in range(N_TREES_PER_FOLD):
            drawn = np.bincount(draws.integers(n_samples, size=n_samples), minlength=n_samples)
            tree = DecisionTreeRegressor(
                max_features="sqrt", random_state=int(draws.integers(2**31))
            )
            tree.fit(train, answer, sample_weight=drawn * balance, check_input=False)
            score += tree.predict(test, check_input=False)
    return score / N_TREES_PER_FOLD


SCORES = {"random_forest": _forest, "logistic_regression": _linear}


class IndependentClassifiers:
    """A logistic regression and a random forest that the generator never met.

    Parameters
    ----------
    train, labels
        Training samples × genes, scaled, and their labels.
    seed
        Seed of the forest.
    """

    def __init__(self, train: np.ndarray, labels: np.ndarray, *, seed: int) -> None:
        self._centre, self._axes = span(train)
        self._linear = logistic_regression().fit((train - self._centre) @ self._axes, labels)
        # On one thread: scikit-learn's threads empty each other's (and the user's) warning filters.
        self._forest = random_forest(N_TREES, random_state=seed).fit(train, labels)

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The label that each gives the samples."""
        return {
            "logistic_regression": self._linear.predict((x - self._centre) @ self._axes),
            "random_forest": self._forest.predict(x),
        }


def logistic_regression(**options: Any) -> Any:
    """scikit-learn's, with its own penalty."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (slow to import)

    return LogisticRegression(max_iter=MAX_ITER, **options)


def random_forest(n_trees: int, **options: Any) -> Any:
    """scikit-learn's."""
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 (slow to import)

    return RandomForestClassifier(n_trees, **options)


def span(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the samples, and orthonormal axes of what they span about it, genes × axes."""
    centre = samples.mean(axis=0)
    if len(samples) >= samples.shape[1]:
        return centre, np.eye(samples.shape[1], dtype=samples.dtype)
    return centre, np.linalg.qr((samples - centre).T)[0]
