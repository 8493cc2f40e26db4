"""Classifiers that had no part in a fit: what they say of its samples."""

from __future__ import annotations

from typing import Any

import numpy as np

N_FOLDS = 5
N_TREES = 200
MAX_ITER = 2000  # of the logistic regression; a hundred or so suffice as a rule


def two_sample_auc(a: np.ndarray, b: np.ndarray, *, n_folds: int = N_FOLDS, rng: int = 0) -> float:
    """How well a logistic regression tells two sets of samples apart, cross-validated.

    Both sets weigh the same. It is fitted in the span of the samples, which changes nothing (its
    penalty does not depend on the axes) and is fast where genes are many.

    Parameters
    ----------
    a, b
        Samples × genes, at least `n_folds` samples each.
    n_folds
        Number of folds of the cross-validation.
    rng
        Seed of the folds.

    Returns
    -------
    Mean area under the receiver operating characteristic over the folds: 0.5 where the two
    cannot be told apart, 1 where they always can.

    Raises
    ------
    ValueError
        If a set has fewer samples than there are folds.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import two_sample_auc
    >>> a = np.random.default_rng(0).normal(size=(20, 3))
    >>> two_sample_auc(a, a + 9)
    1.0
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_score  # noqa: PLC0415 (slow)

    if min(len(a), len(b)) < n_folds:
        msg = (
            f"{n_folds} folds need at least {n_folds} samples on each side, "
            f"not {len(a)} and {len(b)}."
        )
        raise ValueError(msg)
    both = np.vstack([a, b]).astype(np.float64)
    centre, axes = span(both)
    scores = cross_val_score(
        logistic_regression(class_weight="balanced"),
        (both - centre) @ axes,
        np.repeat([0, 1], [len(a), len(b)]),
        cv=StratifiedKFold(n_folds, shuffle=True, random_state=rng),
        scoring="roc_auc",
    )
    return float(scores.mean())


class IndependentClassifiers:
    """A logistic regression and a random forest, as witnesses that the generator never met.

    Parameters
    ----------
    train, labels
        Training samples × genes, scaled, and their labels.
    seed
        Seed of the forest.
    """

    def __init__(self, train: np.ndarray, labels: np.ndarray, *, seed: int) -> None:
        from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 (slow to import)

        self._centre, self._axes = span(train)
        self._linear = logistic_regression().fit((train - self._centre) @ self._axes, labels)
        forest = RandomForestClassifier(N_TREES, random_state=seed, n_jobs=-1)
        # Threads pay where trees grow; samples pass through them faster than threads start.
        self._forest = forest.fit(train, labels).set_params(n_jobs=1)

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


def span(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the samples, and orthonormal axes of what they span about it, genes × axes."""
    centre = samples.mean(axis=0)
    if len(samples) >= samples.shape[1]:
        return centre, np.eye(samples.shape[1], dtype=samples.dtype)
    return centre, np.linalg.qr((samples - centre).T)[0]
