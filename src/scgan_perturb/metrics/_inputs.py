"""Checks of what the metrics are given: samples × genes, dense or sparse, a table or a list."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse


def as_samples(**sets: Any) -> list[np.ndarray]:
    """The named sets as dense arrays.

    Raises
    ------
    ValueError
        If one is not samples × genes or holds no numbers, or they differ in their number of genes.
    """
    arrays = {name: _as_array(samples) for name, samples in sets.items()}
    for name, array in arrays.items():
        if array.ndim != 2 or array.dtype.kind not in "biuf":
            msg = (
                f"{name} must be samples × genes in numbers, dense or sparse, such as adata.X, not "
                f"{type(sets[name]).__name__} of {array.dtype} with shape {array.shape}."
            )
            raise ValueError(msg)
    if len({array.shape[1] for array in arrays.values()}) > 1:
        widths = ", ".join(f"{name} has {array.shape[1]:,}" for name, array in arrays.items())
        msg = f"All sets need the same genes, in one order, but {widths} genes."
        raise ValueError(msg)
    return list(arrays.values())


def _as_array(samples: Any) -> np.ndarray:
    if sparse.issparse(samples):
        return samples.toarray()
    try:
        return np.asarray(samples)
    except ValueError:  # of lists that differ in length, and of an AnnData
        return np.empty((), dtype=object)


def check_samples(**sets: np.ndarray) -> None:
    """Raise ValueError if one of the named sets is empty."""
    for name, samples in sets.items():
        if len(samples) == 0:
            msg = f"{name} has no sample; at least 1 is needed."
            raise ValueError(msg)


def check_pairs(what: str, a: np.ndarray, b: np.ndarray) -> None:
    """Raise ValueError unless both sets have at least two samples."""
    if min(len(a), len(b)) < 2:
        msg = f"{what} needs at least 2 samples on each side, not {len(a)} and {len(b)}."
        raise ValueError(msg)
