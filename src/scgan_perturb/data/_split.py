"""Which samples train and which are held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._keys import TEST, TRAIN
from .._messages import examples, unknown_name, warn

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def read_split(
    adata: AnnData, labels: pd.Series, held_out: float | str, *, seed: int
) -> np.ndarray:
    """Boolean array of n_obs: True where a sample trains.

    Parameters
    ----------
    labels
        Categorical labels of all samples.
    held_out
        Share of each class to hold out, or a column of `adata.obs` that says train or test.
    seed
        Seed of the random choice.

    Raises
    ------
    KeyError
        If the column is not there.
    ValueError
        If the share is not in [0, 1), or the column says anything but train and test.
    """
    if isinstance(held_out, str):
        return _split_of_column(adata, held_out)
    if not isinstance(held_out, (int, float, np.integer, np.floating)) or not 0 <= held_out < 1:
        msg = f"held_out must be a share in [0, 1) or a column of adata.obs, not {held_out!r}."
        raise ValueError(msg)
    return stratified_split(labels, held_out, seed=seed)


def stratified_split(labels: pd.Series, held_out: float, *, seed: int) -> np.ndarray:
    """Hold out a share of each class, to the nearest whole sample (paper, section 2.2)."""
    codes = labels.cat.codes.to_numpy()
    is_train = split_codes(codes, held_out, seed=seed)
    categories = labels.cat.categories
    n_held_out = np.bincount(codes[~is_train], minlength=len(categories))
    if held_out > 0 and (too_small := list(categories[n_held_out < 1])):
        warn(
            f"Too few samples to hold any out: {examples(too_small)}. "
            "All of them train; nothing is measured on these classes."
        )
    return is_train


def split_codes(codes: np.ndarray, held_out: float, *, seed: int) -> np.ndarray:
    """Hold out a share of each class; one sample of each class trains at least.

    Parameters
    ----------
    codes
        Position of the class of each sample.
    held_out
        Share to hold out, to the nearest whole sample.
    seed
        Seed of the random choice.

    Returns
    -------
    Boolean array: True where a sample trains.
    """
    rng = np.random.default_rng(seed)
    is_train = np.ones(len(codes), dtype=bool)
    for code in range(codes.max(initial=-1) + 1):
        members = np.flatnonzero(codes == code)
        n_held_out = min(round(held_out * len(members)), len(members) - 1)
        is_train[rng.permutation(members)[:n_held_out]] = False
    return is_train


def stratified_sample(labels: np.ndarray, n_samples: int, *, seed: int) -> np.ndarray:
    """Positions of about `n_samples` samples, in order, or of all where there are no more.

    Each class gives its share, or half of an equal share where that is more: at most half as many
    again in all, so that rare classes are known as well.

    Parameters
    ----------
    labels
        Position of the class of each sample.
    n_samples
        Number of samples to draw.
    seed
        Seed of the random choice.
    """
    if len(labels) <= n_samples:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    quotas = np.maximum(counts * n_samples // len(labels), n_samples // (2 * len(classes)))
    parts = [
        rng.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(parts))


def _split_of_column(adata: AnnData, column: str) -> np.ndarray:
    if column not in adata.obs:
        raise unknown_name("Column", column, adata.obs.columns, "held_out names a column of obs.")
    values = adata.obs[column]
    if not values.isin([TRAIN, TEST]).all():
        other = values[~values.isin([TRAIN, TEST])].unique()
        msg = f"adata.obs[{column!r}] must say {TRAIN!r} or {TEST!r}; it also holds {examples(other)}."
        raise ValueError(msg)
    is_train = (values == TRAIN).to_numpy(dtype=bool)
    if not is_train.any():
        msg = f"adata.obs[{column!r}] marks no sample as {TRAIN!r}."
        raise ValueError(msg)
    return is_train
