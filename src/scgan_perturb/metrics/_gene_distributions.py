"""How genes are distributed: each alone, and two at a time."""

from __future__ import annotations

import numpy as np

from ._distances import check_pairs

N_VARIABLE = (
    50  # genes whose correlations are compared: of more, chance is all that is left of 20 samples
)


def marginal_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over genes of the Wasserstein distance, in units of the spread of `b`.

    The 1-Wasserstein distance of each gene between the two sets, summed over genes and divided by
    the sum of the genes' standard deviations in `b`. Genes that are constant in `b` count with
    their distance, and need no division by 0.

    Parameters
    ----------
    a, b
        Samples × genes, at least two samples each; `b` are the real ones.

    Returns
    -------
    The distance: 0 where all genes are distributed alike. NaN where `b` does not vary.

    Raises
    ------
    ValueError
        If a set has fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import marginal_distance
    >>> b = np.array([[0.0, 1.0], [2.0, 1.0]])
    >>> marginal_distance(b + 1, b)
    2.0
    """
    check_pairs("A distance of distributions", a, b)
    spread = b.std(axis=0, dtype=float).sum()
    return float(wasserstein(a, b).sum() / spread) if spread > 0 else np.nan


def wasserstein(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1-Wasserstein distance of each gene: the area between the two quantile functions."""
    a, b = (np.sort(samples, axis=0).astype(float) for samples in (a, b))
    # Both quantile functions are steps; these are all places where one of them may step.
    n_a, n_b = len(a), len(b)
    steps = np.unique(np.concatenate([np.arange(n_a + 1) * n_b, np.arange(n_b + 1) * n_a]))
    middle = (steps[:-1] + steps[1:]) / (2 * n_a * n_b)
    widths = np.diff(steps) / (n_a * n_b)
    at_a, at_b = (middle * n_a).astype(int), (middle * n_b).astype(int)
    total = np.zeros(a.shape[1])
    for width, i, j in zip(widths, at_a, at_b, strict=True):
        total += width * np.abs(a[i] - b[j])
    return total


def correlation_agreement(a: np.ndarray, b: np.ndarray, *, n_genes: int = N_VARIABLE) -> float:
    """Correlation between the gene-gene correlations of two sets of samples.

    Parameters
    ----------
    a, b
        Samples × genes, at least two samples each; `b` are the real ones.
    n_genes
        Number of genes, at most: those that vary most in `b`.

    Returns
    -------
    Pearson correlation, over all pairs of these genes, between their correlation in `a` and in
    `b`. A gene that is constant in a set has correlation 0 there. NaN where a set has no
    correlations that differ, with two genes or fewer.

    Raises
    ------
    ValueError
        If a set has fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import correlation_agreement
    >>> b = np.random.default_rng(0).normal(size=(30, 5))
    >>> round(correlation_agreement(2 * b + 1, b), 6)
    1.0
    """
    check_pairs("The agreement of correlations", a, b)
    genes = np.argsort(-b.var(axis=0, dtype=float), kind="stable")[:n_genes]
    if len(genes) < 2:
        return np.nan
    upper = np.triu_indices(len(genes), 1)
    pairs_a, pairs_b = (_correlations(samples[:, genes])[upper] for samples in (a, b))
    return float(pearson(pairs_a, pairs_b))


def _correlations(samples: np.ndarray) -> np.ndarray:
    """Genes × genes; 0 for a gene that is constant."""
    return _unit(samples.T) @ _unit(samples.T).T


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation along the last axis; NaN where one does not vary."""
    a, b = _unit(a), _unit(b)
    varies = a.any(axis=-1) & b.any(axis=-1)
    return np.where(varies, (a * b).sum(axis=-1), np.nan)


def _unit(values: np.ndarray) -> np.ndarray:
    """Values less their mean, of length 1 along the last axis; 0 where they are constant."""
    centred = values - values.mean(axis=-1, keepdims=True, dtype=float)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    # What rounding leaves of values that are all alike is no variation.
    scale = np.abs(values).max(axis=-1, keepdims=True, initial=0) * np.sqrt(values.shape[-1])
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-12 * scale)
