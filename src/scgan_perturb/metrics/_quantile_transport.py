"""Transport of each gene through its quantiles, with the right number of zeros."""

from __future__ import annotations

import numpy as np

from ._baselines import move_by_class
from ._inputs import as_samples
from ._zeros import TOLERANCE

GAP = 8.0  # between the values of neighbouring genes in one search for all genes


def quantile_transport(
    x: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    train_labels: np.ndarray,
    target: object,
    *,
    zero: float | np.ndarray = 0.0,
    rng: int | np.random.Generator = 0,
) -> np.ndarray:
    """Transport each class, gene by gene, to the target's distribution.

    A value x becomes the target's quantile at the share of the class that is below x. This is the
    optimal map between the distributions of a gene, zeros included. Ties, mostly zeros, get random
    ranks. Uses the label of each sample, which the generator does not know.

    Parameters
    ----------
    x, labels
        Samples × genes, scaled to [0, 1], and their labels.
    train, train_labels
        Training samples and their labels. They include each label of `x` and the target.
    target
        Label of the target.
    zero
        The value that stands for "not detected", or one for each gene. Only values above it are
        interpolated.
    rng
        Seed or generator.

    Returns
    -------
    Samples × genes, float64.

    Raises
    ------
    ValueError
        If a label has no training sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import quantile_transport
    >>> train = np.array([[0.1], [0.3], [0.0], [0.8]])
    >>> labels = np.array(["a", "a", "b", "b"])
    >>> quantile_transport(train[:2], labels[:2], train, labels, "b")
    array([[0. ],
           [0.8]])
    """
    rng, x = np.random.default_rng(rng), as_samples(x=x)[0]
    zeros = np.broadcast_to(zero, x.shape[1])

    def move(x: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return _quantiles(_ranks(x, source, zeros, rng), target, zeros)

    return move_by_class(move, x, labels, train, train_labels, target)


def _ranks(
    x: np.ndarray, source: np.ndarray, zero: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Share of the source below each value, between 0 and 1; random among ties.

    A new value between two source values takes the rank of one of them. Of n source values above
    0, k are below the new one: it takes the lower rank with probability k/n. So new samples of a
    class have uniform ranks, like its training samples.
    """
    n_genes = x.shape[1]
    offsets = GAP * np.arange(n_genes)
    # One search for all genes: each gene has its own interval of one line.
    x = x.clip(source.min(axis=0) - 1, source.max(axis=0) + 1)
    line = (np.sort(source, axis=0) + offsets).T.ravel()
    first = len(source) * np.arange(n_genes)
    low, high = (np.searchsorted(line, x + offsets, side) - first for side in ("left", "right"))
    n_zeros = (source <= zero + TOLERANCE).sum(axis=0)
    takes_lower = rng.random(x.shape) * (len(source) - n_zeros) < low - n_zeros
    low = np.where((low == high) & takes_lower, low - 1, low)
    n_ties = np.maximum(high - low, 1)
    low = np.minimum(low, len(source) - n_ties)
    return (low + n_ties * rng.random(x.shape)) / len(source)


def _quantiles(ranks: np.ndarray, target: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """The target's values at these ranks; values above zero are interpolated."""
    target = np.sort(target, axis=0)
    n_zeros = (target <= zero + TOLERANCE).sum(axis=0)
    n_others = len(target) - n_zeros
    rank = ranks * len(target) - n_zeros  # below 0 among the zeros
    within = np.clip(rank - 0.5, 0, np.maximum(n_others - 1, 0))
    below = n_zeros + within.astype(int)
    above = np.minimum(below + 1, len(target) - 1)
    low, high = (
        np.take_along_axis(target, np.minimum(i, len(target) - 1), 0) for i in (below, above)
    )
    values = low + (within - within.astype(int)) * (high - low)
    return np.where(rank < 0, zero, values)
