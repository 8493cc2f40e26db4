from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import scgan_perturb as sp


@pytest.fixture(scope="module")
def reduced() -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sc.datasets.pbmc68k_reduced()


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return sp.datasets.pbmc68k()


def test_expression_is_that_of_scanpys_raw(cells, reduced):
    assert (cells.X != reduced.raw.X).nnz == 0
    assert list(cells.obs_names) == list(reduced.obs_names)
    assert list(cells.var_names) == list(reduced.raw.var_names)


def test_700_cells_have_765_genes(cells):
    assert cells.shape == (700, 765)


def test_expression_is_sparse_float32(cells):
    assert sparse.issparse(cells.X)
    assert cells.X.format == "csr"
    assert cells.X.dtype == np.float32


def test_expression_is_log_normalised_and_not_z_scores(cells):
    values = cells.X.toarray()
    assert values.min() == 0
    assert (values == 0).mean() > 0.5
    assert values.max() < np.log1p(1e4)


def test_cells_of_one_type_are_told_apart_by_their_marker(cells):
    b_cell = (cells.obs["bulk_labels"] == "CD19+ B").to_numpy()
    cd79a = cells.X[:, cells.var_names.get_loc("CD79A")].toarray().ravel()
    assert cd79a[b_cell].mean() > 10 * cd79a[~b_cell].mean()


def test_labels_of_10_cell_types_are_there(cells, reduced):
    assert (
        cells.obs["bulk_labels"].astype(str).to_dict()
        == reduced.obs["bulk_labels"].astype(str).to_dict()
    )
    assert cells.obs["bulk_labels"].nunique() == 10


def test_colours_and_embeddings_are_kept(cells, reduced):
    assert list(cells.uns["bulk_labels_colors"]) == list(reduced.uns["bulk_labels_colors"])
    np.testing.assert_array_equal(cells.obsm["X_umap"], reduced.obsm["X_umap"])


def test_no_warning_escapes():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sp.datasets.pbmc68k()
    assert caught == []


def test_each_call_returns_an_object_of_its_own():
    first = sp.datasets.pbmc68k()
    first.X.data[:] = -1
    first.obs["bulk_labels"] = "none"
    first.uns.clear()
    second = sp.datasets.pbmc68k()
    assert second.X.min() == 0
    assert second.obs["bulk_labels"].nunique() == 10
    assert "bulk_labels_colors" in second.uns


def test_the_cells_can_be_written_and_read_again(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    assert (ad.read_h5ad(tmp_path / "cells.h5ad").X != cells.X).nnz == 0
