"""Read stored results and check them: files can be damaged, and users can write there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._messages import examples, unknown_name
from ..data._adata import check_adata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

FIRST_FIT = "Call sp.tl.fit_tspg(adata, groupby, target) first."


def stored_dict(adata: AnnData, what: str, name: str, remedy: str) -> Mapping[str, Any]:
    """The dict `adata.uns[name]`; KeyError if there is none."""
    check_adata(adata)
    stored = adata.uns.get(name)
    if not isinstance(stored, Mapping):
        raise unknown_name(what, name, adata.uns, remedy)
    return stored


def check_target(adata: AnnData, key: str, params: object, where: str, call: str) -> None:
    """Raise ValueError if a result has another target than the layer it was derived from.

    `where` names the result, `call` computes it again. A result without a target is not checked.
    """
    fit = adata.uns.get(key)
    now = fit.get("params", {}).get("target") if isinstance(fit, Mapping) else None
    then = params.get("target") if isinstance(params, Mapping) else None
    if None not in (now, then) and str(now) != str(then):
        msg = f"{where} is of target {str(then)!r}, the layer of fit {key!r} of {str(now)!r}. Call {call} again."
        raise ValueError(msg)


def check_table(table: object, where: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """The table, unchanged; ValueError if it is not a table, or lacks a column."""
    if not isinstance(table, pd.DataFrame):
        msg = f"{where} is damaged: it is no table but {type(table).__name__}."
        raise ValueError(msg)
    if lacking := [name for name in columns if name not in table]:
        msg = f"{where} is damaged: it has no column {examples(lacking)}."
        raise ValueError(msg)
    return table
