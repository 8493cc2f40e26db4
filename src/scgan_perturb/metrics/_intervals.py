"""95 % intervals from a bootstrap, by two rules: which one is right depends on the quantity.

Mean changes of genes: quantiles of the resamplings. These are nearly unbiased, and a change has
limits: an interval that is shifted can leave them.
Distances, correlations and scores of two sets: the same quantiles, shifted to the value. A
resampling has fewer different samples, which lowers its correlations.
"""

from __future__ import annotations

import numpy as np

LEVEL = 0.95


def percentile_interval(resamplings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of each column of resamplings × quantities, not shifted."""
    low, high = np.quantile(resamplings, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def centred_interval(values: np.ndarray) -> tuple[float, float]:
    """Ends of the interval, shifted to `values[0]`, from the resamplings after it.

    Resamplings that are NaN do not count; NaN if none is left.
    """
    resamplings = values[1:][np.isfinite(values[1:])]
    if len(resamplings) == 0:
        return np.nan, np.nan
    low, high = np.array(percentile_interval(resamplings)) + values[0] - resamplings.mean()
    return float(low), float(high)
