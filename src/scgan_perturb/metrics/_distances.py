"""Distances between two sets of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy.spatial.distance import cdist, pdist

if TYPE_CHECKING:
    import numpy as np


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """E-distance 2·E‖a − b‖ − E‖a − a'‖ − E‖b − b'‖ with Euclidean norms, unbiased.

    Zero in expectation where both sets are drawn from one distribution; an estimate can then
    be slightly negative.

    Parameters
    ----------
    a, b
        Samples × genes, at least two samples each.

    Returns
    -------
    The distance, in the units of the input.

    Raises
    ------
    ValueError
        If a set has fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import energy_distance
    >>> energy_distance(np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]]))
    2.0
    """
    if min(len(a), len(b)) < 2:
        msg = f"E-distance needs at least 2 samples on each side, not {len(a)} and {len(b)}."
        raise ValueError(msg)
    return float(2 * cdist(a, b).mean() - pdist(a).mean() - pdist(b).mean())
