"""Sample labels: read as text, coded by the classes that have training samples."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._keys import ALL
from .._messages import examples, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

FLOAT32 = 1e-7  # relative error of a fraction in float32


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
        If a label is missing or "all", or two different values read alike.
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
    numbers = getattr(column.dtype, "categories", column).dtype
    if numbers in (np.float16, np.float32):  # 0.1, not the 0.10000000149 that Python makes of it
        values = [numbers.type(value) for value in values]
    classes = [label_text(value) for value in values]
    if len(set(classes)) < len(classes):
        msg = f"adata.obs[{groupby!r}] holds different values that read alike: {examples(classes)}."
        raise ValueError(msg)
    check_not_all(classes, groupby)
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
    values = np.array([label_text(value) for value in adata.obs[column]], dtype=object)
    check_not_all(values, column)
    return values


def check_not_all(labels: Iterable[str], column: str) -> None:
    """Raise ValueError if a label is the name of all samples together."""
    if ALL in labels:
        where = f"adata.obs[{column!r}]"
        msg = (
            f"A label in {where} is called {ALL!r}, which is the group of all samples together. Rename it: "
            f"{where} = {where}.astype(str).replace({{{ALL!r}: 'all_cells'}})."
        )
        raise ValueError(msg)


def label_text(label: object) -> str:
    """A label as text: as labels are stored, and as what the user writes is compared with them."""
    label = _scalar(label)
    return label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)


def find_label(label: object, known: Sequence[str] | np.ndarray) -> int:
    """Position of a label among known labels, which are text; -1 if it is none of them.

    A number is found however it is written: 1 and 1.0 are one label.
    """
    names, text = [str(name) for name in known], label_text(label)
    if text in names:
        return names.index(text)
    number = _scalar(label)
    if not isinstance(number, Real) or isinstance(number, bool):
        return -1
    tolerance = 0 if number % 1 == 0 else FLOAT32
    equal = [
        i for i, name in enumerate(names) if math.isclose(_number(name), number, rel_tol=tolerance)
    ]
    return equal[0] if len(equal) == 1 else -1


def _scalar(label: object) -> object:
    """The value of an array without axes; anything else unchanged."""
    return label[()] if isinstance(label, np.ndarray) and label.ndim == 0 else label


def _number(text: str) -> float:
    """The number that a label reads like; NaN, which equals nothing, for others."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def known_labels(labels: object, known: Sequence[str], *, what: str) -> list[str]:
    """One label or several as they are stored; KeyError if one is not known."""
    chosen = several(labels)
    positions = [find_label(label, known) for label in chosen]
    if -1 in positions:
        raise unknown_name(what, label_text(chosen[positions.index(-1)]), known)
    return [str(known[i]) for i in positions]


def resolve_class(label: object, classes: np.ndarray, *, what: str = "target") -> int:
    """Position of `label` among the classes; ValueError if it is none of them."""
    position = find_label(label, classes)
    if position < 0:
        msg = (
            f"{what} {label_text(label)!r} is not a class. The classes are: "
            f"{', '.join(map(repr, map(str, classes)))}."
        )
        raise ValueError(msg)
    return position


def resolve_classes(labels: object, classes: np.ndarray, *, what: str) -> np.ndarray:
    """Positions of one label or several among the classes."""
    return np.array(
        [resolve_class(label, classes, what=what) for label in several(labels)], dtype=int
    )


def several(labels: object) -> list[object]:
    """One label or several, as a list."""
    is_one = isinstance(labels, (str, bytes)) or getattr(labels, "ndim", 1) == 0
    return list(labels) if isinstance(labels, Iterable) and not is_one else [labels]


def single(labels: object, what: str) -> object:
    """The only label of a list, or the label; ValueError for several."""
    chosen = several(labels)
    if len(chosen) != 1:
        msg = f"{what} must be one label, not {labels!r}."
        raise ValueError(msg)
    return chosen[0]
