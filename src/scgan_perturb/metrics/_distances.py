"""Distances between two sets of samples."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist, pdist

from ._inputs import as_samples, check_pairs, check_samples

MAX_EXPONENT = 200.0  # of e in the kernel of Sinkhorn's algorithm: its products stay within float64


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
    a, b = as_samples(a=a, b=b)
    check_pairs("E-distance", a, b)
    return float(2 * cdist(a, b).mean() - pdist(a).mean() - pdist(b).mean())


def mmd(a: np.ndarray, b: np.ndarray, *, width: float | None = None) -> float:
    """Squared maximum mean discrepancy with the Gaussian kernel exp(−‖a − b‖² / 2w²), unbiased.

    Zero in expectation where both sets are drawn from one distribution; an estimate can then
    be slightly negative. At most 2.

    Parameters
    ----------
    a, b
        Samples × genes, at least two samples each.
    width
        Width w of the kernel; None for the median distance among the samples of `b`.

    Returns
    -------
    The squared discrepancy.

    Raises
    ------
    ValueError
        If a set has fewer than two samples, or the width is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import mmd
    >>> round(mmd(np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]]), width=1), 3)
    0.787
    """
    a, b = as_samples(a=a, b=b)
    check_pairs("MMD", a, b)
    width = kernel_width(pdist(b)) if width is None else width
    if not width > 0:
        msg = f"The width of the kernel must be above 0, not {width}."
        raise ValueError(msg)
    within_a, within_b = (gaussian_kernel(pdist(samples), width).mean() for samples in (a, b))
    return float(within_a + within_b - 2 * gaussian_kernel(cdist(a, b), width).mean())


def sinkhorn_w2(a: np.ndarray, b: np.ndarray, *, regularisation: float = 0.05) -> float:
    """2-Wasserstein distance by entropic optimal transport (Cuturi, 2013), computed by POT.

    The square root of the mean squared Euclidean distance of the transport plan between the two
    sets. It is above 0 even for two sets of one distribution: compare with the floor.

    Parameters
    ----------
    a, b
        Samples × genes (or components).
    regularisation
        Weight of the entropy, as a share of the median squared distance between the sets. It is
        raised if a sample is so far from all others that its kernel would be 0.

    Returns
    -------
    The distance, in the units of the input.

    Raises
    ------
    ValueError
        If a set has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import sinkhorn_w2
    >>> sinkhorn_w2(np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]]))
    1.0
    """
    import ot  # noqa: PLC0415 (slow to import)

    a, b = as_samples(a=a, b=b)
    check_samples(a=a, b=b)
    cost = cdist(a, b, "sqeuclidean")
    if not (scale := float(np.median(cost)) or float(cost.max())):
        return 0.0
    weights = (np.full(len(samples), 1 / len(samples)) for samples in (a, b))
    cost_share = cost / scale
    furthest = max(cost_share.min(axis=0).max(), cost_share.min(axis=1).max())
    regularisation = max(regularisation, furthest / MAX_EXPONENT)
    plan = ot.sinkhorn(*weights, cost_share, regularisation, stopThr=1e-5, warn=False)
    return float(np.sqrt((plan * cost).sum()))


def kernel_width(distances: np.ndarray) -> float:
    """The median of the distances of pairs; 1 where all are 0."""
    return float(np.median(distances)) or 1.0


def gaussian_kernel(distances: np.ndarray, width: float) -> np.ndarray:
    """The Gaussian kernel of distances."""
    return np.exp(-0.5 * np.square(distances / width))
