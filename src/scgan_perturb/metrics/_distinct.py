"""Distinct values: counts divided by a sample's depth repeat, what a shift makes of them does not."""

from __future__ import annotations

import numpy as np

from ._inputs import as_samples, check_samples
from ._zeros import TOLERANCE, exceeds

DECIMALS = 4  # scaling to [0, 1] and back rounds


def distinct_values_auc(a: np.ndarray, b: np.ndarray) -> float:
    """How well the share of distinct values separates two sets of samples.

    All genes with one count have the same value in a sample, also once counts are normalised and
    logged: of a real cell's thousand values above 0 some forty are distinct.

    Parameters
    ----------
    a, b
        Samples × genes, in units in which 0 means "not detected", with about four decimals.

    Returns
    -------
    How often the values above 0 of a sample of `a` have a larger share of distinct ones than those
    of a sample of `b`; a tie counts half. 0.5 if the share says nothing, 1 if it is larger for all
    of `a`.

    Raises
    ------
    ValueError
        If a set has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import distinct_values_auc
    >>> distinct_values_auc(np.array([[1.1, 1.2, 0.0]]), np.array([[1.1, 1.1, 0.0]]))
    1.0
    """
    a, b = as_samples(a=a, b=b)
    check_samples(a=a, b=b)
    return float(exceeds(distinct_share(a), distinct_share(b)).mean())


def distinct_share(samples: np.ndarray) -> np.ndarray:
    """Share of distinct values among those of each sample that are above 0; 0 without any."""
    shares = np.zeros(len(samples))
    for row, values in enumerate(samples):
        above = np.sort(values[values > TOLERANCE].round(DECIMALS))
        if len(above):
            shares[row] = (1 + np.count_nonzero(np.diff(above))) / len(above)
    return shares
