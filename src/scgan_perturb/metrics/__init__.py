"""Distances between sets of samples, tests and baselines: arrays in, numbers out; no AnnData."""

from ._baselines import (
    class_mean_shift,
    global_mean_shift,
    matched_target_sample,
    mean_context_shift,
    nearest_target_sample,
    random_target_sample,
)
from ._bootstrap import bootstrap
from ._distances import energy_distance, mmd, sinkhorn_w2
from ._distinct import distinct_values_auc
from ._effect import Effect, direction, effect, log_fold_change_error, overlap, pearson_delta
from ._gene_distributions import correlation_agreement, marginal_distance
from ._individuality import individuality
from ._moments import mean_r2, variance_r2
from ._quantile_transport import quantile_transport
from ._transport import (
    diagonal_gaussian_transport,
    full_gaussian_transport,
    linear_gaussian_transport,
)
from ._two_sample import two_sample_auc
from ._zeros import detected_genes_auc, zero_difference

__all__ = [
    "Effect",
    "bootstrap",
    "class_mean_shift",
    "correlation_agreement",
    "detected_genes_auc",
    "diagonal_gaussian_transport",
    "direction",
    "distinct_values_auc",
    "effect",
    "energy_distance",
    "full_gaussian_transport",
    "global_mean_shift",
    "individuality",
    "linear_gaussian_transport",
    "log_fold_change_error",
    "marginal_distance",
    "matched_target_sample",
    "mean_context_shift",
    "mean_r2",
    "mmd",
    "nearest_target_sample",
    "overlap",
    "pearson_delta",
    "quantile_transport",
    "random_target_sample",
    "sinkhorn_w2",
    "two_sample_auc",
    "variance_r2",
    "zero_difference",
]
