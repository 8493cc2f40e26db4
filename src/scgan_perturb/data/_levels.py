"""Values that repeat from gene to gene, as those do that were rounded: few levels have them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

if TYPE_CHECKING:
    from ._blocks import Matrix

REPEATS = 20  # a level has at least so many values, on average
NO_LEVELS = np.zeros(1, dtype=np.float32)


def levels_of(sample: Matrix) -> np.ndarray:
    """The values that samples have, ascending, if these are few; else a single 0.

    Zeros are not counted: they repeat in all data.
    """
    values = np.asarray(sample.data if sparse.issparse(sample) else sample, dtype=np.float32)
    levels = np.unique(values)
    if len(levels) * REPEATS > np.count_nonzero(values):
        return NO_LEVELS
    return np.union1d(levels, NO_LEVELS) if sparse.issparse(sample) else levels


def nearest_levels(values: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """For each value the nearest of two or more levels."""
    above = torch.searchsorted(levels, values).clamp_(1, len(levels) - 1)
    low, high = levels[above - 1], levels[above]
    return torch.where(values - low <= high - values, low, high)
