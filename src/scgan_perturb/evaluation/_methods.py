"""Baselines of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._keys import CONTEXT_SHIFT, COPIES, GLOBAL_SHIFT, UNTOUCHED
from ..metrics import (
    class_mean_shift,
    diagonal_gaussian_transport,
    full_gaussian_transport,
    global_mean_shift,
    linear_gaussian_transport,
    matched_target_sample,
    nearest_target_sample,
    quantile_transport,
    random_target_sample,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._samples import Samples

QUANTILES = "quantile transport"
# These use the label of each sample.
TOLD = {
    "class mean shift": class_mean_shift,
    "diagonal Gaussian transport": diagonal_gaussian_transport,
    "full Gaussian transport": full_gaussian_transport,
    QUANTILES: quantile_transport,
}


def baselines(samples: Samples, zero: np.ndarray, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name and result of each baseline; `zero` is the scaled value of each gene's 0."""
    x, train = samples.x, samples.train
    source, target = (samples.training(of_target=is_target) for is_target in (False, True))
    shifted = global_mean_shift(x, source, target)
    yield UNTOUCHED, x
    yield GLOBAL_SHIFT, shifted
    if samples.context_shift is not None:
        yield CONTEXT_SHIFT, np.clip(x + samples.context_shift, 0, 1)
    seen = np.isin(samples.labels, samples.train_labels)
    for name, move in TOLD.items():
        options = {"zero": zero, "rng": seed} if name == QUANTILES else {}
        moved = shifted.astype(np.float64)  # of a class without training samples
        moved[seen] = move(
            x[seen], samples.labels[seen], train, samples.train_labels, samples.target, **options
        )
        yield name, moved
    yield "linear Gaussian transport", linear_gaussian_transport(x, source, target)
    matched, nearest, random = COPIES
    yield matched, matched_target_sample(x, target)
    yield nearest, nearest_target_sample(x, target)
    yield random, random_target_sample(x, target, rng=seed)
