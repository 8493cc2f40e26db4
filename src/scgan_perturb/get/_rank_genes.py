"""Ranked genes, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._keys import TSPG, tspg_keys
from ..data._labels import known_labels
from ._stored import check_target, stored_dict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from anndata import AnnData

COLUMNS = {
    "names": "gene",
    "scores": "mean",
    "sds": "sd",
    "shares": "share",
    "logfoldchanges": "logfoldchange",
}
INTERVAL = {"scores_low": "mean_low", "scores_high": "mean_high"}


def rank_genes_df(
    adata: AnnData, group: object | Sequence[object] | None = None, *, key: str = TSPG
) -> pd.DataFrame:
    """Genes ranked by :func:`~scgan_perturb.tl.rank_genes`, with spread and agreement.

    Parameters
    ----------
    adata
        AnnData with ranked genes.
    group
        Source class, several of them, or `"all"` for all samples together; None for all groups.
    key
        Name of the fit.

    Returns
    -------
    DataFrame with one row per group and gene, from the most increased to the most decreased. Columns:
    `group`, `gene`; `mean` and `sd` over the samples of the perturbation, as a share of the
    gene's range over the training samples; `share` of samples in which the gene moves the way
    it moves on average; `logfoldchange`, the mean change in input units. `mean_low` and
    `mean_high`, the ends of the interval of the mean, if the ranking has intervals.

    Raises
    ------
    KeyError
        If genes were not ranked, or the group does not exist.
    ValueError
        If the ranking has another target than the layer.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.rank_genes(adata)
    >>> list(sp.get.rank_genes_df(adata, "all").columns)
    ['group', 'gene', 'mean', 'sd', 'share', 'logfoldchange']
    """
    name = tspg_keys(key).rank_genes
    ranking = stored_dict(adata, "Ranking", name, "Call sp.tl.rank_genes(adata) first.")
    check_target(
        adata, key, ranking.get("params"), f"adata.uns[{name!r}]", "sp.tl.rank_genes(adata)"
    )
    groups = _groups(ranking, name)
    wanted = list(groups) if group is None else known_labels(group, list(groups), what="Group")
    columns = COLUMNS | {field: name for field, name in INTERVAL.items() if field in ranking}
    tables = [
        pd.DataFrame({column: ranking[field][groups[one]] for field, column in columns.items()})
        for one in wanted
    ]
    table = pd.concat(tables, keys=wanted, names=["group"]).reset_index("group")
    table["group"] = pd.Categorical(table["group"], categories=wanted)
    return table.reset_index(drop=True)


def _groups(ranking: Mapping[str, Any], name: str) -> dict[str, str]:
    """The groups and the fields with their genes; ValueError if a file lacks some of them."""
    layouts = {}
    for field in {*COLUMNS, *(ranking.keys() & INTERVAL.keys())}:
        array = np.asarray(ranking.get(field))
        layouts[field] = (array.dtype.names, array.shape)
    if len(set(layouts.values())) > 1 or layouts["names"][0] is None:
        msg = f"adata.uns[{name!r}] is damaged: its fields differ in groups or genes, or have none."
        raise ValueError(msg)
    fields = layouts["names"][0]
    groups = ranking.get("params", {}).get("groups", fields)
    # A file cannot hold a field with an empty name, as the group of the label "" has.
    groups = groups if len(groups) == len(fields) else fields
    return dict(zip(map(str, groups), fields, strict=True))
