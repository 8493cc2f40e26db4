"""Ranked genes, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from .._keys import CONTEXTS, TSPG, tspg_keys
from ..data._labels import known_labels, several
from ..models._fitted_classifier import as_names
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
NUMBERS = [field for field in COLUMNS if field != "names"]
EACH = "each"  # every context


class ContextEffects(NamedTuple):
    """Effects within contexts.

    Parameters
    ----------
    contexts, genes
        Their names.
    is_trained
        Whether samples of the target trained, for each context.
    columns
        Contexts × genes, by the name of the field.
    """

    contexts: list[str]
    genes: np.ndarray
    is_trained: np.ndarray
    columns: dict[str, np.ndarray]


def rank_genes_df(
    adata: AnnData,
    group: object | Sequence[object] | None = None,
    *,
    context: object | Sequence[object] | None = None,
    key: str = TSPG,
) -> pd.DataFrame:
    """Genes ranked by :func:`~scgan_perturb.tl.rank_genes`, with spread and agreement.

    Parameters
    ----------
    adata
        AnnData with ranked genes.
    group
        Source class, several of them, or `"all"` for all samples together; None for all groups.
    context
        Context, several of them, or `"each"` for every context, in place of groups. For fits with
        `context`; the name of a context is its values of these columns, joined by `" / "`.
    key
        Name of the fit.

    Returns
    -------
    DataFrame with one row per group (or context) and gene, from the most increased to the most decreased.
    Columns: `group` (or `context`), `gene`; `mean` and `sd` over the samples of the perturbation, as a share of the
    gene's range over the training samples; `share` of samples in which the gene moves the way
    it moves on average; `logfoldchange`, the mean change in input units. `mean_low` and
    `mean_high`, the ends of the interval of the mean, if the ranking has intervals.

    Raises
    ------
    KeyError
        If genes were not ranked, or the group or context does not exist.
    ValueError
        If the ranking has another target than the layer, or both group and context are given.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.rank_genes(adata)
    >>> list(sp.get.rank_genes_df(adata, "all").columns)
    ['group', 'gene', 'mean', 'sd', 'share', 'logfoldchange']
    """
    if context is not None and group is not None:
        msg = f"Give group={group!r} or context={context!r}, not both: a table is of one kind."
        raise ValueError(msg)
    if context is not None:
        return _context_table(read_context_effects(adata, key), context)
    name = tspg_keys(key).rank_genes
    ranking = read_ranking(adata, key)
    groups = _groups(ranking, name)
    wanted = list(groups) if group is None else known_labels(group, list(groups), what="Group")
    columns = COLUMNS | {field: name for field, name in INTERVAL.items() if field in ranking}
    tables = [
        pd.DataFrame({column: ranking[field][groups[one]] for field, column in columns.items()})
        for one in wanted
    ]
    return _stacked(tables, wanted, "group")


def read_ranking(adata: AnnData, key: str) -> Mapping[str, Any]:
    """The stored ranking; KeyError without it, ValueError if it is of another target."""
    name, call = tspg_keys(key).rank_genes, "sp.tl.rank_genes(adata)"
    ranking = stored_dict(adata, "Ranking", name, f"Call {call} first.")
    check_target(adata, key, ranking.get("params"), f"adata.uns[{name!r}]", call)
    return ranking


def read_context_effects(adata: AnnData, key: str) -> ContextEffects:
    """The effects within contexts; KeyError without them, ValueError if they are damaged."""
    name = tspg_keys(key).rank_genes
    stored = read_ranking(adata, key).get(CONTEXTS)
    if stored is None:
        msg = (
            f"adata.uns[{name!r}] has no contexts. Fit with contexts, sp.tl.fit_tspg(..., "
            "context='cell_type'), and call sp.tl.rank_genes(adata)."
        )
        raise KeyError(msg)
    try:
        contexts, genes = as_names(stored["contexts"]), as_names(stored["names"])
        fields = [*NUMBERS, *(field for field in INTERVAL if field in stored)]
        columns = {field: np.asarray(stored[field], dtype=np.float32) for field in fields}
        n_target = np.asarray(stored["n_target"], dtype=np.int64)
        is_valid = {column.shape for column in columns.values()} == {(len(contexts), len(genes))}
        is_valid &= len(contexts) > 0 and n_target.shape == contexts.shape
    except (LookupError, TypeError, ValueError):
        is_valid = False
    if not is_valid:
        msg = f"adata.uns[{name!r}][{CONTEXTS!r}] is damaged. Call sp.tl.rank_genes(adata) again."
        raise ValueError(msg)
    return ContextEffects(list(contexts), genes, n_target > 0, columns)


def _context_table(effects: ContextEffects, context: object | Sequence[object]) -> pd.DataFrame:
    """A row a context and gene, within contexts by falling mean."""
    contexts = effects.contexts
    wanted = (
        contexts if several(context) == [EACH] else known_labels(context, contexts, what="Context")
    )
    tables = []
    for one in wanted:
        i = contexts.index(one)
        order = np.argsort(-effects.columns["scores"][i], kind="stable")
        columns = {
            column: effects.columns[field][i, order]
            for field, column in (COLUMNS | INTERVAL).items()
            if field in effects.columns
        }
        tables.append(pd.DataFrame({"gene": effects.genes[order], **columns}))
    return _stacked(tables, wanted, "context")


def _stacked(tables: list[pd.DataFrame], names: list[str], column: str) -> pd.DataFrame:
    """Tables below each other, with their names in a column."""
    table = pd.concat(tables, keys=names, names=[column]).reset_index(column)
    table[column] = pd.Categorical(table[column], categories=names)
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
