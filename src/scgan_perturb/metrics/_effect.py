"""The effect of a perturbation on each gene, compared with the effect in real samples.

The quantities of the Virtual Cell Challenge of 2026 and of the package cell-eval. An effect is a
difference of mean log expression from the unperturbed samples, in the units of the data: a log
fold change with a pseudocount of 1 where these are log(1 + x).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._inputs import as_samples, check_samples
from ._moments import pearson

MAX_FDR = 0.05  # of a gene that truly changes, as in the challenge
ROUNDING = 1e-12  # a smaller difference, as a share of the means, counts as 0


class Effect(NamedTuple):
    """Differences between samples and the unperturbed ones.

    Parameters
    ----------
    change
        Difference of the means of each gene, in the units of the data.
    is_significant
        Which genes differ at a false discovery rate of 5 % (two-sided Mann-Whitney U test, normal
        approximation with continuity correction; Benjamini and Hochberg).

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import Effect
    >>> Effect(np.array([0.5, -2.0, 3.0]), np.array([True, True, False])).top(1)
    array([1])
    """

    change: np.ndarray
    is_significant: np.ndarray

    def top(self, n_genes: int) -> np.ndarray:
        """Positions of the significant genes that change most, at most `n_genes`."""
        order = np.argsort(-np.abs(self.change), kind="stable")
        return order[self.is_significant[order]][:n_genes]


def effect(before: np.ndarray, after: np.ndarray) -> Effect:
    """The effect on each gene.

    Parameters
    ----------
    before, after
        Unperturbed and perturbed (or real) samples × genes, log expression; not paired.

    Returns
    -------
    `change` and `is_significant`, arrays of n_genes.

    Raises
    ------
    ValueError
        If a set has no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import effect
    >>> before = np.random.default_rng(0).normal(size=(30, 2))
    >>> effect(before, before + [0, 3]).is_significant
    array([False,  True])
    """
    from scipy.stats import false_discovery_control, mannwhitneyu  # noqa: PLC0415 (slow to import)

    before, after = as_samples(before=before, after=after)
    check_samples(before=before, after=after)
    change = difference(after.mean(axis=0, dtype=float), before.mean(axis=0, dtype=float))
    with np.errstate(invalid="ignore", divide="ignore"):  # a gene that is constant in both
        p = mannwhitneyu(after, before, axis=0, method="asymptotic").pvalue
    p = np.where(np.isfinite(p), p, 1.0)
    return Effect(change, false_discovery_control(p) < MAX_FDR)


def difference(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Difference of means; 0 if it is mere rounding, as between reordered samples."""
    change = after - before
    rounding = ROUNDING * np.maximum(np.abs(after), np.abs(before))
    return np.where(np.abs(change) > rounding, change, 0.0)


def pearson_delta(predicted: Effect, real: Effect, *, n_top: int | None = None) -> float:
    """Pearson correlation, over genes, between the predicted and the real change.

    Parameters
    ----------
    predicted, real
        The effects.
    n_top
        Number of genes, those whose real change is largest; None for all.

    Returns
    -------
    A number from -1 to 1; NaN if a change is the same for all genes.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import Effect, pearson_delta
    >>> real = Effect(np.array([2.0, -1.0, 0.0]), np.array([True, True, False]))
    >>> round(pearson_delta(real._replace(change=2 * real.change), real), 6)
    1.0
    """
    genes = np.argsort(-np.abs(real.change), kind="stable")[:n_top]
    return float(pearson(predicted.change[genes], real.change[genes]))


def direction(predicted: Effect, real: Effect) -> float:
    """Share of the truly changed genes that are predicted to change in the right direction.

    Parameters
    ----------
    predicted, real
        The effects.

    Returns
    -------
    A number from 0 to 1: of the genes whose real change is significant, the share whose predicted
    change has the same sign. NaN if no gene truly changes.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import Effect, direction
    >>> real = Effect(np.array([2.0, -1.0, 0.1]), np.array([True, True, False]))
    >>> direction(Effect(np.array([1.0, 1.0, 1.0]), real.is_significant), real)
    0.5
    """
    genes = real.is_significant
    if not genes.any():
        return np.nan
    return float((np.sign(predicted.change) == np.sign(real.change))[genes].mean())


def overlap(predicted: Effect, real: Effect) -> float:
    """Share of the genes with the largest real changes that also have the largest predicted ones.

    Parameters
    ----------
    predicted, real
        The effects.

    Returns
    -------
    A number from 0 to 1: with N genes whose real change is significant, the share of them among
    the N significant predicted genes that change most (`overlap_at_N` of cell-eval, ranked by
    the difference of means). NaN if no gene truly changes.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import Effect, overlap
    >>> real = Effect(np.array([2.0, -1.0, 0.1]), np.array([True, True, False]))
    >>> overlap(Effect(np.array([1.0, 0.0, 2.0]), np.array([True, True, True])), real)
    0.5
    """
    n_genes = int(real.is_significant.sum())
    if n_genes == 0:
        return np.nan
    shared = np.intersect1d(predicted.top(n_genes), real.top(n_genes))
    return len(shared) / n_genes


def log_fold_change_error(predicted: Effect, real: Effect) -> float:
    """Error of the predicted change, as a share of the real one, over genes that truly change.

    Parameters
    ----------
    predicted, real
        The effects.

    Returns
    -------
    Sum of the absolute errors divided by the sum of the absolute changes, over genes whose real
    change is significant: 0 for the right changes, 1 for no change at all. NaN if no gene truly changes.

    Examples
    --------
    >>> import numpy as np
    >>> from scgan_perturb.metrics import Effect, log_fold_change_error
    >>> real = Effect(np.array([2.0, -1.0, 0.1]), np.array([True, True, False]))
    >>> log_fold_change_error(real._replace(change=np.zeros(3)), real)
    1.0
    """
    genes = real.is_significant
    size = np.abs(real.change[genes]).sum()
    return float(np.abs(predicted.change - real.change)[genes].sum() / size) if size else np.nan
