"""Classifier two-sample tests, and classifiers that are independent of a fit."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from .._messages import check_choice
from ._inputs import as_samples
from ._zeros import exceeds

if TYPE_CHECKING:
    from collections.abc import Iterator

N_FOLDS = 5
N_TREES = 200
# In a two-sample test. With 25 trees an AUC of 0.73 is estimated as 0.65 (quantile transport to
# dendritic cells).
N_TREES_PER_FOLD = 100
MAX_ITER = 2000  # of the logistic regression; about a hundred usually suffice

TwoSampleClassifier = Literal["random_forest", "logistic_regression"]


class HeldOutScores(NamedTuple):
    """Scores of held-out samples of both sets (higher: more like the second), and their folds."""

    a: np.ndarray
    b: np.ndarray
    fold_a: np.ndarray
    fold_b: np.ndarray

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """For each pair of samples whether it is in order (a tie: half), and whether it counts.

        Only pairs within a fold count: other scores come from different classifiers.
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

    Both sets have the same weight (Lopez-Paz and Oquab, 2017). A random forest sees differences
    that a linear test cannot: zeros that became small numbers, correlations that are lost. Copies
    of a sample share a fold, so that no copy is recognised by another.

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
    samples, one of each set, in the right order. 0.5 if it cannot tell them apart, 1 if it always
    can.

    Raises
    ------
    ValueError
        If a set has fewer samples than folds, or the classifier is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import two_sample_auc
    >>> a = np.random.default_rng(0).normal(size=(20, 3))
    >>> two_sample_auc(a, a + 9)
    1.0
    """
    a, b = as_samples(a=a, b=b)
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
    # In the forest's float32, and without -0: copies of a sample have the same bits.
    both = np.vstack([a, b]).astype(np.float32) + np.float32(0)
    is_b = np.repeat([0, 1], [len(a), len(b)])
    folds = list(_folds(both, is_b, n_folds, rng))
    if classifier == "logistic_regression":
        # The penalty does not depend on the axes. With many genes the span has fewer axes.
        centre, axes = span(both.astype(np.float64))
        both = (both - centre) @ axes

    def score(fold: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        train, test = fold
        return SCORES[classifier](both[train], is_b[train], both[test], rng)

    with warnings.catch_warnings():  # if Newton's method fails, scikit-learn uses another
        for category in (ConvergenceWarning, LinAlgWarning):
            warnings.simplefilter("ignore", category)
        # A logistic regression sets warning filters, which all threads share.
        with ThreadPoolExecutor(n_folds if classifier == "random_forest" else 1) as threads:
            scores_by_fold = list(threads.map(score, folds))
    scores, fold_of = np.empty(len(both)), np.empty(len(both), dtype=int)
    for i, ((_, test), values) in enumerate(zip(folds, scores_by_fold, strict=True)):
        scores[test], fold_of[test] = values, i
    parts = (values[is_b == side] for values in (scores, fold_of) for side in (0, 1))
    return HeldOutScores(*parts)


def _folds(
    both: np.ndarray, is_b: np.ndarray, n_folds: int, rng: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds; copies of a sample share one.

    Copies are spread over folds if a set has fewer different samples than folds: such repetition
    is what a test has to detect.
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
    # Newton's method needs a few steps for as few axes as samples.
    regression = _logistic_regression(class_weight="balanced", solver="newton-cholesky")
    return regression.fit(train, is_b).decision_function(test)


def _forest(train: np.ndarray, is_b: np.ndarray, test: np.ndarray, rng: int) -> np.ndarray:
    """Share of the trees of a random forest (Breiman, 2001) that assign a sample to the second set.

    Trees of scikit-learn on resampled samples: its own forest spends more time on the checks of
    each tree than on growing it. For labels 0 and 1 the Gini impurity is twice the variance, so a
    regression grows the same trees as a classification, with fewer checks.
    """
    from sklearn import config_context  # noqa: PLC0415 (slow to import)
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415 (slow to import)

    train, test = (np.ascontiguousarray(x, dtype=np.float32) for x in (train, test))
    draws, n_samples = np.random.default_rng(rng), len(train)
    balance = (n_samples / (2 * np.bincount(is_b, minlength=2)))[
        is_b
    ]  # the same weight for both sets
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
    """A logistic regression and a random forest of scaled samples, independent of the generator."""

    def __init__(self, train: np.ndarray, labels: np.ndarray, *, seed: int) -> None:
        from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 (slow to import)

        self._centre, self._axes = span(train)
        self._linear = _logistic_regression().fit((train - self._centre) @ self._axes, labels)
        # On one thread: scikit-learn's threads empty each other's (and the user's) warning filters.
        self._forest = RandomForestClassifier(N_TREES, random_state=seed).fit(train, labels)

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The label of each sample by each classifier."""
        return {
            "logistic_regression": self._linear.predict((x - self._centre) @ self._axes),
            "random_forest": self._forest.predict(x),
        }


def _logistic_regression(**options: Any) -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (slow to import)

    return LogisticRegression(max_iter=MAX_ITER, **options)


def span(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the samples, and orthonormal axes of their span around it, genes × axes."""
    centre = samples.mean(axis=0)
    if len(samples) >= samples.shape[1]:
        return centre, np.eye(samples.shape[1], dtype=samples.dtype)
    return centre, np.linalg.qr((samples - centre).T)[0]
