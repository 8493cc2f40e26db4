"""Checks of an AnnData that every verb and getter needs: its type, names and columns."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from anndata import AnnData

from .._messages import examples

AXES = {"obs": "samples", "var": "genes"}
MAKE_ONE = "Make one: anndata.AnnData(X, obs=labels), with samples in rows and genes in columns."
READ_IT = "Read the file first: adata = anndata.read_h5ad(path)."
REMEDIES = {"str": READ_IT, "PosixPath": READ_IT, "WindowsPath": READ_IT}


def check_adata(adata: object, name: str = "adata") -> None:
    """Check that this is an AnnData whose samples, genes and columns have proper names.

    Parameters
    ----------
    adata
        What the user gave.
    name
        The name of the argument.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If names of samples or genes are not text, or a column occurs twice.
    """
    if not isinstance(adata, AnnData):
        kind, parts = type(adata).__name__, getattr(adata, "mod", None)
        remedy = REMEDIES.get(kind, MAKE_ONE)
        if isinstance(parts, Mapping):  # MuData
            remedy = f"Choose one of its modalities: {name}.mod[{next(iter(parts), 'rna')!r}]."
        msg = f"{name} must be an AnnData, not {kind}. {remedy}"
        raise TypeError(msg)
    for axis in AXES:
        table = getattr(adata, axis)
        if isinstance(table, pd.DataFrame):  # not opened lazily
            _check_names(table.index, f"{name}.{axis}", axis, name)
            _check_columns(table.columns, f"{name}.{axis}")


def _check_names(names: pd.Index, table: str, axis: str, adata: str) -> None:
    """Raise ValueError unless all names are text."""
    where = f"{table}_names"
    if isinstance(names, pd.MultiIndex):
        msg = (
            f"{where} is a MultiIndex of {names.nlevels} levels, not text. Join its levels: "
            f"{where} = ['_'.join(map(str, name)) for name in {where}]."
        )
        raise ValueError(msg)
    if names.hasnans:
        rows = ":, " if axis == "var" else ""
        msg = (
            f"{names.isna().sum():,} of {len(names):,} {AXES[axis]} have no name in {where}. Name them, "
            f"or leave them out: {adata} = {adata}[{rows}{where}.notna()].copy()."
        )
        raise ValueError(msg)
    values = names.categories if isinstance(names, pd.CategoricalIndex) else names
    if values.inferred_type in ("string", "empty"):
        return
    remedy = f"{where} = {where}.astype(str)"
    if values.inferred_type == "bytes":
        remedy = f"{where} = {where}.str.decode('utf-8')"
    msg = (
        f"{where} must be text, not {values.inferred_type} ({', '.join(map(repr, names[:3]))}). "
        f"Call {remedy} first."
    )
    raise ValueError(msg)


def _check_columns(columns: pd.Index, table: str) -> None:
    if not columns.is_unique:
        msg = (
            f"{table} has more than one column {examples(columns[columns.duplicated()].unique())}. "
            f"Keep the first: {table} = {table}.loc[:, ~{table}.columns.duplicated()]."
        )
        raise ValueError(msg)
