"""How well means and variances of genes agree."""

from __future__ import annotations

import numpy as np

from ._baselines import check_samples
from ._distances import check_pairs


def mean_r2(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Pearson correlation, over genes, of the means of two sets of samples.

    Parameters
    ----------
    a, b
        Samples × genes.

    Returns
    -------
    A number from 0 to 1; NaN where the means of a set are all alike.

    Raises
    ------
    ValueError
        If a set has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import mean_r2
    >>> round(mean_r2(np.array([[0.0, 1.0, 0.5]]), np.array([[0.1, 0.5, 0.3]])), 6)
    1.0
    """
    check_samples(a=a, b=b)
    return float(squared_correlation(*(samples.mean(axis=0, dtype=float) for samples in (a, b))))


def variance_r2(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Pearson correlation, over genes, of the variances of two sets of samples.

    Low where samples have collapsed onto a point, or kept the spread of what they were.

    Parameters
    ----------
    a, b
        Samples × genes, at least two samples each.

    Returns
    -------
    A number from 0 to 1; NaN where the variances of a set are all alike.

    Raises
    ------
    ValueError
        If a set has fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import variance_r2
    >>> a = np.array([[0.0, 0.0, 0.0], [0.1, 0.4, 0.2]])
    >>> round(variance_r2(a, 2 * a), 6)
    1.0
    """
    check_pairs("The agreement of variances", a, b)
    return float(squared_correlation(*(samples.var(axis=0, dtype=float) for samples in (a, b))))


def squared_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared Pearson correlation along the last axis; NaN where one does not vary."""
    a, b = (values - values.mean(axis=-1, keepdims=True) for values in (a, b))
    spread = np.square(a).sum(axis=-1) * np.square(b).sum(axis=-1)
    product = np.square((a * b).sum(axis=-1))
    return np.divide(product, spread, out=np.full(np.shape(product), np.nan), where=spread > 0)
