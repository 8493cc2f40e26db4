"""Distributions of single genes, and correlations of pairs of genes."""

from __future__ import annotations

import numpy as np

from ._inputs import as_samples, check_pairs
from ._moments import pearson, unit

N_VARIABLE = 50  # genes whose correlations are compared; with 20 samples, more are mostly chance


def marginal_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over genes of the Wasserstein distance, in units of the spread of `b`.

    The 1-Wasserstein distance of each gene between the two sets, summed over genes and divided by
    the sum of the genes' standard deviations in `b`. Genes that are constant in `b` count with
    their distance.

    Parameters
    ----------
    a, b
        Samples × genes, at least two samples each; `b` is the real set.

    Returns
    -------
    The distance: 0 if all genes have the same distributions. NaN if `b` does not vary.

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
    a, b = as_samples(a=a, b=b)
    check_pairs("A distance of distributions", a, b)
    spread = b.std(axis=0, dtype=float).sum()
    return float(wasserstein(a, b).sum() / spread) if spread > 0 else np.nan


def wasserstein(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1-Wasserstein distance of each gene: the area between the two quantile functions."""
    a, b = (np.sort(samples, axis=0).astype(float) for samples in (a, b))
    # Both quantile functions are steps; these are all positions where one may step.
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
        Samples × genes, at least two samples each; `b` is the real set.
    n_genes
        Maximum number of genes; those that vary most in `b` are chosen.

    Returns
    -------
    Pearson correlation, over all pairs of these genes, between their correlation in `a` and in
    `b`. A gene that is constant in a set has correlation 0 there. NaN if all correlations of a set
    are the same, and for two genes or fewer.

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
    a, b = as_samples(a=a, b=b)
    check_pairs("The agreement of correlations", a, b)
    genes = np.argsort(-b.var(axis=0, dtype=float), kind="stable")[:n_genes]
    if len(genes) < 2:
        return np.nan
    upper = np.triu_indices(len(genes), 1)
    pairs_a, pairs_b = (_correlations(samples[:, genes])[upper] for samples in (a, b))
    return float(pearson(pairs_a, pairs_b))


def _correlations(samples: np.ndarray) -> np.ndarray:
    """Genes × genes; 0 for a gene that is constant."""
    genes = unit(samples.T)
    return genes @ genes.T
