"""The context of samples: what stays as it is when their label changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._messages import examples, warn
from ._labels import read_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

SEPARATOR = " / "  # between the columns of a context


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
