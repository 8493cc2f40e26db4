"""Which genes move in all contexts, which in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._checks import check_number
from .._keys import TSPG
from ._rank_genes import read_context_effects

if TYPE_CHECKING:
    from anndata import AnnData

    from ._rank_genes import ContextEffects

MOVES = ("all", "some", "one", "none")
# On Kang's blood cells the genes that then move in all types are the known response to interferon.
MIN_MEAN = 0.1


def context_genes_df(
    adata: AnnData, *, min_mean: float = MIN_MEAN, key: str = TSPG
) -> pd.DataFrame:
    """In how many contexts each gene moves: in all, in some, in one or in none.

    A gene moves in a context if its mean perturbation there is at least `min_mean` in size. If the
    ranking has intervals, the interval must also lie on one side of 0. Contexts whose target
    samples never trained have their effect from the others and do not count, unless there are no
    other contexts.

    Parameters
    ----------
    adata
        AnnData with the result of :func:`~scgan_perturb.tl.rank_genes`, of a fit with `context`.
    min_mean
        Smallest mean perturbation, as a share of the gene's range over the training samples.
    key
        Name of the fit.

    Returns
    -------
    DataFrame with one row per gene. Genes that move in all contexts come first, then by falling
    number of contexts, within these by falling size of the mean. Columns:

    `gene`
        The gene.
    `moves`
        `"all"` if it moves in all contexts and the same way, `"one"` if in a single one, `"some"`
        if in others, or not the same way, `"none"` if in no context.
    `n_up`, `n_down`
        Number of contexts in which it increases, and in which it decreases.
    `mean`
        Mean over contexts of its mean perturbation: each context counts the same.
    `strongest`
        Context in which it changes most.

    Raises
    ------
    KeyError
        If genes were not ranked, or the fit has no contexts.
    ValueError
        If `min_mean` is not a number from 0 to 1, or the ranking has another target than the layer.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> adata.obs["cycling"] = adata.obs["phase"] != "G1"
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", context="cycling")
    >>> sp.tl.rank_genes(adata)
    >>> list(sp.get.context_genes_df(adata).columns)
    ['gene', 'moves', 'n_up', 'n_down', 'mean', 'strongest']
    """
    check_number("min_mean", min_mean, least=0, most=1)
    return context_genes(read_context_effects(adata, key), min_mean)


def context_genes(effects: ContextEffects, min_mean: float) -> pd.DataFrame:
    """The table of :func:`context_genes_df`."""
    counts = effects.is_trained if effects.is_trained.any() else ~effects.is_trained
    mean = effects.columns["scores"][counts]
    up, down = (mean > 0) & (mean >= min_mean), (mean < 0) & (mean <= -min_mean)
    if "scores_low" in effects.columns:
        up &= effects.columns["scores_low"][counts] > 0
        down &= effects.columns["scores_high"][counts] < 0
    n_up, n_down = up.sum(axis=0), down.sum(axis=0)
    n_moves = n_up + n_down
    is_all = np.maximum(n_up, n_down) == len(mean)
    moves = np.select([is_all, n_moves > 1, n_moves == 1], MOVES[:3], MOVES[3])
    contexts = np.array(effects.contexts, dtype=object)[counts]
    table = pd.DataFrame(
        {
            "gene": effects.genes,
            "moves": pd.Categorical(moves, MOVES, ordered=True),
            "n_up": n_up,
            "n_down": n_down,
            "mean": mean.mean(axis=0),
            "strongest": contexts[np.abs(mean).argmax(axis=0)],
        }
    )
    order = np.lexsort([-table["mean"].abs(), -n_moves, table["moves"].cat.codes])
    return table.iloc[order].reset_index(drop=True)
