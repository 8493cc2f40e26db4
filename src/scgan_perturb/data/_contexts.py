"""The context of samples: what stays as it is when their label changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._messages import examples, warn
from ._labels import label_text, read_column

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


def context_codes(
    given: Sequence[object] | np.ndarray | None,
    columns: Sequence[str],
    contexts: np.ndarray,
    n_samples: int,
) -> np.ndarray:
    """The position of the context of each sample among the contexts of a model; -1 of others.

    Parameters
    ----------
    given
        The context of each sample; None where none was given.
    columns
        The columns of a model's contexts; empty for a model without: all samples are 0.
    contexts
        The contexts of the model.
    n_samples
        Number of samples.

    Raises
    ------
    ValueError
        If contexts are missing, or their number is not that of the samples.
    """
    if not columns:
        return np.zeros(n_samples, dtype=np.int64)
    if given is None:
        msg = (
            f"The model was fitted with context={list(columns)}. Give context=, the context of each "
            "sample."
        )
        raise ValueError(msg)
    names = np.array([label_text(value) for value in given], dtype=object)
    if names.shape != (n_samples,):
        msg = f"context has the shape {names.shape}; one value for each of {n_samples:,} samples is needed."
        raise ValueError(msg)
    return context_positions(contexts, names)


def warn_of_unknown(names: np.ndarray) -> None:
    """Warn of contexts without training samples."""
    warn(
        f"Contexts without training samples: {examples(sorted(set(names)))}. Each of their "
        f"{len(names):,} samples gets the effect of the trained context that it resembles most."
    )
