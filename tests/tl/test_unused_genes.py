"""Genes outside `mask_var` may hold anything, as after an outer `anndata.concat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import sparse

import scgan_perturb as sp
from tests.conftest import make_adata

if TYPE_CHECKING:
    import anndata as ad

N_USED = 6


def with_gaps(kind) -> ad.AnnData:
    """The last five genes were measured in some samples only."""
    adata = make_adata()
    adata.X[:20, 7:] = np.nan
    adata.X = kind(adata.X)
    adata.var["used"] = np.arange(12) < N_USED
    return adata


def dask_array(x):
    return pytest.importorskip("dask.array").from_array(x, chunks=(20, 12))


KINDS = {"dense": np.asarray, "sparse": sparse.csr_matrix, "Dask": dask_array}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_all_verbs_work_beside_genes_with_gaps(kind):
    adata = with_gaps(kind)
    sp.tl.fit_tspg(adata, "tissue", "lung", mask_var="used")
    sp.tl.evaluate(adata, n_bootstrap=0)
    if kind is dask_array:
        adata = adata.to_memory()
        sp.tl.perturb(adata)
    sp.tl.rank_genes(adata)
    sp.tl.embed(adata, method="pca")
    assert np.isfinite(sp.get.perturbation(adata).to_numpy()).all()
    clean = make_adata()[:, :N_USED].copy()
    sp.tl.fit_tspg(clean, "tissue", "lung")
    layers = (a.layers["xadv"] for a in (adata, clean))
    found, expected = (x.toarray() if sparse.issparse(x) else x for x in layers)
    np.testing.assert_allclose(found[:, :N_USED], expected, atol=1e-5)


def predicted(layer: str) -> ad.AnnData:
    adata = with_gaps(np.asarray)
    adata.layers["mine"] = np.nan_to_num(adata.X)
    if layer == "mine":
        adata.X, adata.layers["mine"] = adata.layers["mine"], adata.X
    adata.obs["split"] = ["train", "test"] * 25
    return adata


@pytest.mark.parametrize(
    ("layer", "what"), [("X", "The original expression"), ("mine", "The perturbed layer")]
)
def test_a_prediction_of_some_genes_is_refused_with_the_remedy_that_helps(layer, what):
    adata = predicted(layer)
    options = {"groupby": "tissue", "target": "lung", "held_out": "split", "n_bootstrap": 0}
    with pytest.raises(
        ValueError, match=f"{what} holds NaN .* 5 of 12 genes .*name it in mask_var="
    ):
        sp.tl.evaluate(adata, prediction="mine", **options)
    sp.tl.evaluate(adata, prediction="mine", mask_var="used", **options)


def test_a_prediction_of_some_classes_is_refused_with_the_remedy_that_helps(adata):
    adata.layers["mine"] = adata.X.copy()
    adata.layers["mine"][(adata.obs["tissue"] == "thyroid").to_numpy()] = np.nan
    adata.obs["split"] = ["train", "test"] * 25
    options = {"groupby": "tissue", "target": "lung", "held_out": "split", "n_bootstrap": 0}
    with pytest.raises(ValueError, match="12 of 12 genes .*that it perturbs in source="):
        sp.tl.evaluate(adata, prediction="mine", **options)
    sp.tl.evaluate(adata, prediction="mine", source="liver", **options)
