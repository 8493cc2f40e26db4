"""Zeros, which a shift of means turns into small numbers."""

from __future__ import annotations

import numpy as np

from ._inputs import as_samples, check_samples

# A value this near to 0 is 0: scaling to [0, 1] and back rounds.
TOLERANCE = 1e-6


def zero_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Share of values that are 0 in `a`, minus the share in `b`.

    Parameters
    ----------
    a, b
        Samples × genes, in units in which 0 means "not detected".

    Returns
    -------
    A number from -1 to 1: 0 if both sets are equally sparse, below 0 if `a` has fewer zeros.

    Raises
    ------
    ValueError
        If a set has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import zero_difference
    >>> zero_difference(np.array([[0.1, 2.0]]), np.array([[0.0, 2.0]]))
    -0.5
    """
    a, b = as_samples(a=a, b=b)
    check_samples(a=a, b=b)
    return float(zero_share(a).mean() - zero_share(b).mean())


def detected_genes_auc(a: np.ndarray, b: np.ndarray) -> float:
    """How well the number of genes above 0 separates two sets of samples.

    Parameters
    ----------
    a, b
        Samples × genes, in units in which 0 means "not detected".

    Returns
    -------
    How often a sample of `a` has more genes above 0 than one of `b`; a tie counts half. 0.5 if the
    number says nothing, 1 if all of `a` have more, 0 if all have fewer.

    Raises
    ------
    ValueError
        If a set has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import detected_genes_auc
    >>> detected_genes_auc(np.array([[0.1, 2.0]]), np.array([[0.0, 2.0], [1.0, 2.0]]))
    0.75
    """
    a, b = as_samples(a=a, b=b)
    check_samples(a=a, b=b)
    return float(exceeds(n_detected(a), n_detected(b)).mean())


def zero_share(samples: np.ndarray, zero: float | np.ndarray = 0.0) -> np.ndarray:
    """Share of the genes of each sample that are 0, or at the value that stands for 0."""
    return (np.abs(samples - zero) <= TOLERANCE).mean(axis=1)


def n_detected(samples: np.ndarray, zero: float | np.ndarray = 0.0) -> np.ndarray:
    """Number of genes of each sample above 0, or above the value that stands for 0."""
    return (samples - zero > TOLERANCE).sum(axis=1)


def exceeds(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For each pair of a number of `a` and one of `b`, whether the first is larger; a tie is half."""
    return (a[:, None] > b) + 0.5 * (a[:, None] == b)
