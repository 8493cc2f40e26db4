"""Rounded values in, values as round out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.data._levels import levels_of, nearest_levels
from scgan_perturb.metrics import distinct_values_auc
from tests.conftest import make_adata

if TYPE_CHECKING:
    import anndata as ad

SIZES = {"liver": 60, "lung": 50, "thyroid": 50}


def rounded(kind: str = "dense") -> ad.AnnData:
    """Samples × 30 genes with one decimal, some of them zero."""
    adata = make_adata(SIZES, n_genes=30)
    adata.X = np.round(adata.X, 1)
    if kind == "csr":
        adata.X = sparse.csr_matrix(adata.X)
    return adata


def values(matrix: object) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


@pytest.mark.parametrize(
    ("x", "n_levels"),
    [
        (np.random.default_rng(0).random((50, 20)).round(1), 11),
        (np.random.default_rng(0).random((50, 20)), 1),
        (np.zeros((50, 20)), 1),
        (np.diag(np.arange(40.0)), 1),
    ],
    ids=["one decimal", "many decimals", "zeros", "zeros among few other values"],
)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_levels_are_the_values_of_data_that_repeat_them(x, n_levels, kind):
    found = levels_of(kind(x))
    assert len(found) == n_levels
    if n_levels > 1:
        np.testing.assert_array_equal(found, np.unique(x.astype(np.float32)))


def test_a_value_goes_to_the_nearest_level():
    levels = torch.tensor([0.0, 0.5, 2.0])
    found = nearest_levels(torch.tensor([[-1.0, 0.2, 0.3], [1.2, 1.3, 9.0]]), levels)
    assert found.tolist() == [[0, 0, 0.5], [0.5, 2, 2]]


@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_a_perturbed_sample_has_the_values_that_real_ones_have(kind):
    adata = rounded(kind)
    sp.tl.fit_tspg(adata, "tissue", "lung")
    train = (adata.obs["tspg_split"] == "train").to_numpy()
    x, xadv = values(adata.X), values(adata.layers["xadv"])
    assert np.isin(xadv, x[train]).mean() > 0.999  # ends of a held-out sample's range are its own
    is_lung = (adata.obs["tissue"] == "lung").to_numpy()
    assert 0.2 < distinct_values_auc(xadv[~is_lung], x[is_lung]) < 0.8
    new = make_adata(SIZES, n_genes=30, seed=1)  # not rounded
    changed = sp.get.model(adata).perturb(new.X) != new.X
    assert np.isin(sp.get.model(adata).perturb(new.X)[changed], x).all()


def test_a_mean_over_draws_is_between_the_levels():
    adata = rounded()
    sp.tl.fit_tspg(adata, "tissue", "lung")
    sources = (adata.obs["tissue"] != "lung").to_numpy()
    assert np.isin(sp.get.model(adata).expected(adata.X[sources]), adata.X).mean() < 0.5


def test_recipe_paper_rounds_nothing():
    adata = rounded()
    sp.tl.fit_tspg(adata, "tissue", "lung", recipe=sp.tl.Paper(max_epochs=1))
    assert np.isin(adata.layers["xadv"], adata.X).mean() < 0.9


def test_values_of_held_out_samples_are_no_levels():
    adata = rounded()
    adata.obs["split"] = np.where(np.arange(adata.n_obs) % 5, "train", "test")
    adata.X[(adata.obs["split"] == "test").to_numpy()] += 0.05
    sp.tl.fit_tspg(adata, "tissue", "lung", held_out="split")
    levels = sp.get.model(adata).weights["levels"]
    np.testing.assert_array_equal(levels, np.unique(adata.X[adata.obs["split"] == "train"]))
