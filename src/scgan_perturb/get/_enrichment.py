"""Enriched gene sets, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import TSPG, tspg_keys
from .._messages import unknown_name
from ._stored import check_table, check_target, stored_dict

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def enrichment_df(adata: AnnData, name: str | None = None, *, key: str = TSPG) -> pd.DataFrame:
    """Gene sets tested by :func:`~scgan_perturb.tl.enrich`, by rising p-value.

    Parameters
    ----------
    adata
        AnnData with tested gene sets.
    name
        Name of the result, as in `key_added`; None for `f"{key}_enrichment"`.
    key
        Name of the fit.

    Returns
    -------
    DataFrame with one row per set. Columns: `term`; `overlap`, the number of `genes` found in it, and
    `set_size`, of its genes in the background; `p_value`; `q_value` (Benjamini-Hochberg over all
    sets tested); `odds_ratio` or, for the method `"prerank"`, `nes`; `genes`, joined by `;`.

    Raises
    ------
    KeyError
        If there is no such result.
    ValueError
        If the result has another target than the layer.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.rank_genes(adata)
    >>> sets = {"B cell": ["CD79A", "CD79B", "MS4A1"], "T cell": ["CD3D", "CD3E", "IL32"]}
    >>> sp.tl.enrich(adata, sets, method="prerank", min_size=2)
    >>> len(sp.get.enrichment_df(adata))
    2
    """
    name = tspg_keys(key).enrichment if name is None else name
    remedy = "Call sp.tl.enrich(adata, gene_sets) first."
    stored = stored_dict(adata, "Enrichment", name, remedy)
    if "table" not in stored:
        raise unknown_name("Enrichment", name, adata.uns, remedy)
    call = "sp.tl.rank_genes(adata) and sp.tl.enrich(adata, gene_sets)"
    check_target(adata, key, stored.get("params"), f"adata.uns[{name!r}]", call)
    where = f"adata.uns[{name!r}]['table']"
    return check_table(stored["table"], where, ("term", "q_value", "genes")).copy()
