"""Sample labels: read as text, coded by the classes that have training samples."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._messages import examples, unknown_name, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

SEPARATOR = " / "  # between the columns of a context


def read_labels(adata: AnnData, groupby: str, *, sort: bool = False) -> pd.Series:
    """The labels as an unordered categorical of text.

    Parameters
    ----------
    adata, groupby
        The samples, and the column of `adata.obs`.
    sort
        Whether categories come in the order of their values, which does not depend on how the
        column orders them: for fits. Text is ordered as AnnData does, "CD4" before "CD14".
        Otherwise categories come in the column's own order: for what is shown.

    Raises
    ------
    KeyError
        If `groupby` is no column of `adata.obs`.
    ValueError
        If a label is missing, or two different values read alike.
    """
    if groupby not in adata.obs:
        raise unknown_name(
            "Column", groupby, adata.obs.columns, "groupby is a column of adata.obs."
        )
    column = adata.obs[groupby]
    if (missing := column.isna()).any():
        msg = (
            f"{missing.sum():,} of {adata.n_obs:,} samples have no label in adata.obs[{groupby!r}] "
            f"({examples(adata.obs_names[missing])}). Label them, or leave them out: "
            f"adata = adata[adata.obs[{groupby!r}].notna()].copy()"
        )
        raise ValueError(msg)
    codes, values = pd.factorize(column.astype(object) if sort else column, sort=True)
    if sort and all(isinstance(value, str) for value in values):
        order = sorted(range(len(values)), key=lambda i: _natural(values[i]))
        codes, values = np.argsort(order)[codes], values[order]
    classes = [str(value) for value in values]
    if len(set(classes)) < len(classes):
        msg = f"adata.obs[{groupby!r}] holds different values that read alike: {examples(classes)}."
        raise ValueError(msg)
    return pd.Series(pd.Categorical.from_codes(codes, classes), index=adata.obs_names)


def _natural(text: str) -> tuple[list[str | int], str]:
    """A key that orders text with numbers by these numbers."""
    parts = re.split(r"(\d+)", text)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], text


def read_column(adata: AnnData, argument: str, column: str) -> np.ndarray:
    """A column of obs as text; KeyError without it, ValueError if values are missing."""
    if column not in adata.obs:
        raise unknown_name(
            "Column", column, adata.obs.columns, f"{argument} names a column of obs."
        )
    if (missing := adata.obs[column].isna()).any():
        msg = f"adata.obs[{column!r}] is missing for {missing.sum():,} of {adata.n_obs:,} samples."
        raise ValueError(msg)
    return adata.obs[column].astype(str).to_numpy(dtype=object)


def read_contexts(adata: AnnData, columns: Sequence[str], groupby: str = "") -> np.ndarray:
    """The context of each sample as text: the values of the columns, joined.

    Raises
    ------
    KeyError
        If a column is not there.
    ValueError
        If values are missing, a column is the one with the labels, or two contexts read alike.
    """
    if groupby in columns:
        msg = (
            f"context={groupby!r} is the column with the labels, which change. context names what "
            "stays as it is: a cell type, a donor, a batch."
        )
        raise ValueError(msg)
    parts = [read_column(adata, "context", column) for column in columns]
    names = np.array([SEPARATOR.join(values) for values in zip(*parts, strict=True)], dtype=object)
    if len(set(names)) < len(set(zip(*parts, strict=True))):
        msg = f"Contexts read alike: values of {columns} hold {SEPARATOR!r}. Rename these values."
        raise ValueError(msg)
    return names


def context_positions(contexts: np.ndarray, names: np.ndarray) -> np.ndarray:
    """The position of each name among the contexts, which are sorted; -1 of others."""
    at = np.searchsorted(contexts, names).clip(max=len(contexts) - 1)
    return np.where(contexts[at] == names, at, -1)


def warn_of_unknown(names: np.ndarray) -> None:
    """Warn of contexts without training samples."""
    warn(
        f"Contexts without training samples: {examples(sorted(set(names)))}. Each of their "
        f"{len(names):,} samples gets the effect of the trained context that it resembles most."
    )


def resolve_class(label: object, classes: np.ndarray, *, what: str = "target") -> int:
    """Position of `label` among the classes; ValueError if it is none of them."""
    positions = np.flatnonzero(classes == str(label))
    if len(positions) == 0:
        msg = f"{what} {str(label)!r} is not a class. The classes are: {', '.join(map(repr, map(str, classes)))}."
        raise ValueError(msg)
    return int(positions[0])


def resolve_classes(labels: object, classes: np.ndarray, *, what: str) -> np.ndarray:
    """Positions of one label or several among the classes."""
    return np.array(
        [resolve_class(label, classes, what=what) for label in several(labels)], dtype=int
    )


def several(labels: object) -> Sequence[object]:
    """One label or several, as a sequence."""
    if isinstance(labels, Iterable) and not isinstance(labels, str):
        return list(labels)
    return [labels]
