"""Counts: normalised and logged on the way in, counts at the sample's own depth on the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from ._blocks import Matrix
    from ._matrix import ExpressionMatrix

TARGET_SUM = 1e4  # counts of a sample, as sc.pp.normalize_total is mostly called
CHECKED_ROWS = 200
# Multiples of a sample's least value that tell whether all are whole: those of logged counts with
# three decimals are within the tolerance; of other values one in ten is.
MULTIPLES, TOLERANCE, ENOUGH, MOST = 20, 0.05, 50, 0.95
LARGEST_LOGARITHM = 25  # of counts, natural


def checked_sample(matrix: ExpressionMatrix) -> Matrix:
    """Some samples, which tell the units of all."""
    # The first samples of a lazy matrix are in few blocks; samples at equal distances are in all.
    step = 1 if matrix.is_lazy else max(1, matrix.shape[0] // CHECKED_ROWS)
    return matrix[: CHECKED_ROWS * step : step]


def are_counts(sample: Matrix) -> bool:
    """Whether samples look like counts: whole numbers, not negative, beyond 0 and 1."""
    values = np.asarray(sample.data if sparse.issparse(sample) else sample)
    if not values.size or values.min() < 0 or values.max() <= 1:
        return False
    return bool((values == np.rint(values)).all())


def are_logged_counts(sample: Matrix) -> bool:
    """Whether the values of each sample are log(1 + k / s), whole k and a number s of its own."""
    return share_of_counts(sample) >= MOST


def share_of_counts(sample: Matrix) -> float:
    """Share of values that are logged multiples of the least of their sample; NaN of too few."""
    parts = []
    for row in sparse.csr_matrix(sample):
        values = row.data[row.data != 0].astype(np.float64)
        if not values.size:
            continue
        if values.min() < 0 or values.max() > LARGEST_LOGARITHM:
            return 0.0
        multiples = np.expm1(values) / np.expm1(values.min())
        parts.append(multiples[(multiples > 1 + TOLERANCE) & (multiples < MULTIPLES)])
    multiples = np.concatenate([*parts, np.empty(0)])
    is_whole = np.abs(multiples - np.rint(multiples)) < TOLERANCE
    return float(is_whole.mean()) if len(multiples) >= ENOUGH else np.nan


def depths(counts: Matrix) -> np.ndarray:
    """Number of counts of each sample, samples × 1; that of a sample without any is `TARGET_SUM`."""
    depth = np.asarray(counts.sum(axis=1, dtype=np.float64)).reshape(-1, 1)
    return np.where(depth > 0, depth, TARGET_SUM)


def normalised(counts: Matrix) -> Matrix:
    """log(1 + counts per `TARGET_SUM`), float32, sparse where the counts are."""
    factor = (TARGET_SUM / depths(counts)).astype(np.float32)
    if sparse.issparse(counts):
        values = sparse.csr_matrix(counts, dtype=np.float32)
        rows = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
        data = np.log1p(values.data * factor[rows, 0])
        return sparse.csr_matrix((data, values.indices, values.indptr), shape=values.shape)
    return np.log1p(counts.astype(np.float32) * factor)


def counts_of(values: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Whole numbers, float32: the inverse of :func:`normalised`."""
    return np.rint(np.expm1(values) * (depth / TARGET_SUM)).astype(np.float32)
