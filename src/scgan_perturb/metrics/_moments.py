"""How well means and variances of genes agree."""

from __future__ import annotations

import numpy as np

from ._inputs import as_samples, check_pairs, check_samples


def mean_r2(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Pearson correlation, over genes, of the means of two sets of samples.

    Parameters
    ----------
    a, b
        Samples × genes.

    Returns
    -------
    A number from 0 to 1; NaN if the means of a set are all the same.

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
    a, b = as_samples(a=a, b=b)
    check_samples(a=a, b=b)
    return float(pearson(a.mean(axis=0, dtype=float), b.mean(axis=0, dtype=float)) ** 2)


def variance_r2(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Pearson correlation, over genes, of the variances of two sets of samples.

    Low for samples that collapsed onto a point, or that kept the spread of their source class.

    Parameters
    ----------
    a, b
        Samples × genes, at least two samples each.

    Returns
    -------
    A number from 0 to 1; NaN if the variances of a set are all the same.

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
    a, b = as_samples(a=a, b=b)
    check_pairs("The agreement of variances", a, b)
    return float(pearson(a.var(axis=0, dtype=float), b.var(axis=0, dtype=float)) ** 2)


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation along the last axis; NaN where one does not vary."""
    a, b = unit(a), unit(b)
    varies = a.any(axis=-1) & b.any(axis=-1)
    return np.where(varies, (a * b).sum(axis=-1), np.nan)


def unit(values: np.ndarray) -> np.ndarray:
    """Values less their mean, scaled to length 1 along the last axis; 0 where they are constant."""
    centred = values - values.mean(axis=-1, keepdims=True, dtype=float)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    # The rounding of values that are all alike is no variation.
    scale = np.abs(values).max(axis=-1, keepdims=True, initial=0) * np.sqrt(values.shape[-1])
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-12 * scale)
