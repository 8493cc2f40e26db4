"""Distances between sets of samples, and baselines: arrays in, numbers out; no AnnData."""

from ._baselines import (
    class_mean_shift,
    global_mean_shift,
    nearest_target_sample,
    random_target_sample,
)
from ._bootstrap import bootstrap
from ._distances import energy_distance, mmd
from ._moments import mean_r2, variance_r2
from ._transport import (
    diagonal_gaussian_transport,
    full_gaussian_transport,
    linear_gaussian_transport,
)
from ._two_sample import two_sample_auc

__all__ = [
    "bootstrap",
    "class_mean_shift",
    "diagonal_gaussian_transport",
    "energy_distance",
    "full_gaussian_transport",
    "global_mean_shift",
    "linear_gaussian_transport",
    "mean_r2",
    "mmd",
    "nearest_target_sample",
    "random_target_sample",
    "two_sample_auc",
    "variance_r2",
]
