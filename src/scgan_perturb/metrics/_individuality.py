"""How much of a sample survives a perturbation."""

from __future__ import annotations

import numpy as np

from ._inputs import as_samples

MIN_RANKED = 3  # samples; the ranks of two agree by chance


def individuality(before: np.ndarray, after: np.ndarray, groups: np.ndarray) -> float:
    """How well a sample keeps its rank within its class, gene by gene.

    A method that returns real samples of the target passes every test of realism, but perturbs
    nothing. Its individuality is 0: a sample with a high value of a gene within its class does not
    have a high value afterwards. A shift of the class keeps all ranks: its individuality is 1.

    Parameters
    ----------
    before, after
        Samples × genes, row by row the same sample before and after.
    groups
        The class of each sample.

    Returns
    -------
    Spearman's rank correlation between before and after within each class and gene, averaged over
    genes that vary before, and over classes (weighted by their samples). A gene that is constant
    afterwards counts as 0. NaN if no class has three samples and a gene that varies.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import individuality
    >>> x = np.random.default_rng(0).normal(size=(40, 6))
    >>> individuality(x, 2 * x + 1, np.repeat(["a", "b"], 20))
    1.0
    >>> abs(individuality(x, x[::-1], np.repeat(["a", "b"], 20))) < 0.2
    True
    """
    before, after = as_samples(before=before, after=after)
    total, weight, groups = 0.0, 0, np.asarray(groups)
    for label in np.unique(groups):
        rows = groups == label
        value = _rank_correlation(before[rows], after[rows])
        if np.isfinite(value):
            total, weight = total + value * rows.sum(), weight + rows.sum()
    return float(total / weight) if weight else np.nan


def _rank_correlation(before: np.ndarray, after: np.ndarray) -> float:
    """Mean over genes of Spearman's correlation."""
    from scipy.stats import rankdata  # noqa: PLC0415 (slow to import)

    varies = np.ptp(before, axis=0) > 0
    if len(before) < MIN_RANKED or not varies.any():
        return np.nan
    a, b = (rankdata(x[:, varies], axis=0) for x in (before, after))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    product = (a * b).sum(axis=0)
    # Not by `pearson`, which rounds: the same ranks give exactly 1.
    size = np.sqrt(np.square(a).sum(axis=0) * np.square(b).sum(axis=0))
    return float(np.divide(product, size, out=np.zeros_like(product), where=size > 0).mean())
