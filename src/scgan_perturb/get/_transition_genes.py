"""The genes that change most in transitions of single samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._keys import TEST, TSPG, tspg_keys
from ..data._labels import read_labels
from ._model import checked_model
from ._perturbation import find_layer, find_rows, perturbation, was_perturbed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def transition_genes(
    adata: AnnData,
    n_genes: int = 20,
    *,
    obs_names: str | Sequence[str] | None = None,
    rng: int | np.random.Generator | None = 0,
    key: str = TSPG,
) -> pd.DataFrame:
    """List the genes that change most in one sample of each source class (paper, section 3).

    Parameters
    ----------
    adata
        AnnData with a fit, its perturbed layer and its labels.
    n_genes
        Maximum number of genes in each direction.
    obs_names
        Samples to use; None for one random perturbed sample of each class except the target,
        a held-out one if there is any.
    rng
        Seed or generator of the random samples; None for new ones each time.
    key
        Name of the fit.

    Returns
    -------
    DataFrame with one row per sample and gene. Columns: `sample`, `label`, `direction` (`up`, `down`),
    `rank` (from 1, the strongest), `gene`, `perturbation` (as a share of the gene's range over
    the training samples). Count distinct genes over all transitions as in the example.

    Raises
    ------
    KeyError
        If there is no such fit, layer, label column or sample.
    ValueError
        If `n_genes` is below 1, no sample was perturbed, or expression or labels have changed since
        the fit.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> table = sp.get.transition_genes(adata, 5)
    >>> table.groupby(["label", "direction"], observed=True).size().unique()
    array([5])
    >>> distinct = table.groupby("direction", observed=True)["gene"].nunique()
    >>> list(distinct.index)
    ['up', 'down']
    """
    if n_genes < 1:
        msg = f"n_genes must be at least 1, not {n_genes!r}."
        raise ValueError(msg)
    model = checked_model(adata, key, labels=True)
    labels = read_labels(adata, model.params["groupby"])
    find_layer(adata, key)  # raises if there is no layer
    if obs_names is None:
        rows = _choose_samples(adata, labels, model.target, np.random.default_rng(rng), key)
    else:
        rows = find_rows(adata, obs_names)
    changes = perturbation(adata, adata.obs_names[rows], units="scaled", expected=True, key=key)
    tables = [
        _strongest(changes.iloc[i], n_genes).assign(sample=changes.index[i], label=labels.iloc[row])
        for i, row in enumerate(rows)
    ]
    table = pd.concat(tables, ignore_index=True)
    table["direction"] = pd.Categorical(table["direction"], ["up", "down"])
    return table[["sample", "label", "direction", "rank", "gene", "perturbation"]]


def _choose_samples(
    adata: AnnData, labels: pd.Series, target: str, rng: np.random.Generator, key: str
) -> np.ndarray:
    """Position of one perturbed sample of each class except the target."""
    keys = tspg_keys(key)
    perturbed = was_perturbed(adata, key) & (labels != target).to_numpy()
    if not perturbed.any():
        msg = f"No sample of another label than the target {target!r} was perturbed."
        raise ValueError(msg)
    held_out = np.zeros(adata.n_obs, dtype=bool)
    if keys.split in adata.obs:
        held_out = perturbed & (adata.obs[keys.split] == TEST).to_numpy()
    rows = []
    for label in labels[perturbed].unique():
        of_class = (labels == label).to_numpy()
        best = of_class & held_out
        rows.append(rng.choice(np.flatnonzero(best if best.any() else of_class & perturbed)))
    return np.array(rows)


def _strongest(change: pd.Series, n_genes: int) -> pd.DataFrame:
    """The genes of one sample that increase and decrease most."""
    ordered = change.sort_values(ascending=False, kind="stable")
    up, down = ordered[ordered > 0][:n_genes], ordered[ordered < 0][::-1][:n_genes]
    chosen = pd.concat([up, down])
    return pd.DataFrame(
        {
            "direction": ["up"] * len(up) + ["down"] * len(down),
            "rank": np.r_[1 : len(up) + 1, 1 : len(down) + 1].astype(int),  # int even if empty
            "gene": chosen.index,
            "perturbation": chosen.to_numpy(),
        }
    )
