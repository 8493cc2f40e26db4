"""What users have at hand: sparse matrices, tables and lists give the values of arrays."""

from __future__ import annotations

import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scgan_perturb import metrics

RNG = np.random.default_rng(0)
A, B = (RNG.random((n, 6)) * (RNG.random((n, 6)) < 0.6) for n in (20, 16))
BOTH, LABELS = np.vstack([A, B]), np.repeat(["a", "b"], [20, 16])
CONTEXTS = np.tile(["c", "d"], 18)


def of_classes(function):
    return lambda as_kind, labels: function(
        as_kind(A), labels(LABELS[:20]), as_kind(BOTH), labels(LABELS), "b"
    )


CALLS = {
    **{
        name: lambda as_kind, labels, name=name: getattr(metrics, name)(as_kind(A), as_kind(B))
        for name in (
            *("energy_distance", "mmd", "sinkhorn_w2", "mean_r2", "variance_r2", "zero_difference"),
            *("detected_genes_auc", "distinct_values_auc", "marginal_distance"),
            *("correlation_agreement", "effect"),
            *("two_sample_auc", "nearest_target_sample", "matched_target_sample"),
            *("random_target_sample", "bootstrap"),
        )
    },
    **{
        name: of_classes(getattr(metrics, name))
        for name in (
            *("class_mean_shift", "diagonal_gaussian_transport", "full_gaussian_transport"),
            "quantile_transport",
        )
    },
    **{
        name: lambda as_kind, labels, name=name: getattr(metrics, name)(as_kind(A), as_kind(A), as_kind(B))
        for name in ("global_mean_shift", "linear_gaussian_transport")
    },
    "individuality": lambda as_kind, labels: metrics.individuality(as_kind(A), as_kind(A**2), labels(CONTEXTS[:20])),
    "mean_context_shift": lambda as_kind, labels: metrics.mean_context_shift(as_kind(BOTH), LABELS == "b", labels(CONTEXTS)),
}  # fmt: skip
OF_EFFECTS = {"Effect", "direction", "log_fold_change_error", "overlap", "pearson_delta"}
KINDS = {
    "csr": (sparse.csr_matrix, pd.Series),
    "csc": (sparse.csc_array, pd.Categorical),
    "coo": (sparse.coo_matrix, list),
    "table": (pd.DataFrame, pd.Index),
    "list": (np.ndarray.tolist, tuple),
}


def test_every_metric_of_samples_is_in_the_table():
    assert set(CALLS) | OF_EFFECTS == set(metrics.__all__)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_any_kind_of_samples_gives_the_value_of_arrays(call, kind):
    found, expected = call(*KINDS[kind]), call(np.asarray, np.asarray)
    found, expected = (list(x.values()) if isinstance(x, dict) else x for x in (found, expected))
    # Products round otherwise where columns are contiguous.
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-9, atol=1e-12)


BAD = {
    "AnnData": (ad.AnnData(B), "b must be samples × genes .* such as adata.X, not AnnData"),
    "one sample": (B[0], r"b must be .* not ndarray of float64 with shape \(6,\)"),
    "text": (B.astype(str), "b must be samples × genes in numbers"),
    "rows of different lengths": ([[1.0, 2.0], [1.0]], "b must be .* not list"),
    "other genes": (B[:, :3], "All sets need the same genes, in one order, but a has 6, b has 3 genes"),
}  # fmt: skip


@pytest.mark.parametrize("metric", ["energy_distance", "two_sample_auc", "effect"])
@pytest.mark.parametrize(("given", "match"), BAD.values(), ids=BAD)
def test_what_is_no_samples_by_genes_is_named(metric, given, match):
    match = match.replace("a has", ".* has").replace("b ", r"\w+ ") if metric == "effect" else match
    with pytest.raises(ValueError, match=match):
        getattr(metrics, metric)(A, given)


def test_metrics_are_imported_with_the_package_when_they_are_used():
    code = (
        "import sys, scgan_perturb as sp\n"
        "early = 'scgan_perturb.metrics' in sys.modules\n"
        "print(early, sp.metrics.energy_distance([[0.0], [0.0]], [[1.0], [1.0]]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "2.0"]
