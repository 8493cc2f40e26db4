"""Counts in, counts out."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.data._counts import counts_of, depths, normalised

from ..conftest import make_adata

COUNTS = np.array([[0, 3, 7, 0], [1, 0, 0, 99], [0, 0, 0, 0]])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_counts_are_normalised_as_scanpy_does(kind):
    found = normalised(kind(COUNTS))
    wanted = sc.AnnData(COUNTS[:2].astype(np.float64))
    sc.pp.normalize_total(wanted, target_sum=1e4)
    sc.pp.log1p(wanted)
    found = found.toarray() if sparse.issparse(found) else found
    np.testing.assert_allclose(found[:2], wanted.X, rtol=1e-6)
    assert not found[2].any()


def test_the_way_back_gives_the_counts():
    assert (counts_of(normalised(COUNTS), depths(COUNTS)) == COUNTS).all()


@pytest.fixture(scope="module")
def fitted():
    adata = make_adata(n_genes=30)
    rng = np.random.default_rng(0)
    mean = np.exp(adata.X - adata.X.max())
    mean *= rng.integers(500, 2000, adata.n_obs)[:, None] / mean.sum(1, keepdims=True)
    adata.layers["counts"] = sparse.csr_matrix(rng.poisson(mean).astype(np.float32))
    sp.tl.fit_tspg(adata, "tissue", "lung", layer="counts")
    return adata


def test_a_fit_of_counts_gives_counts_at_each_samples_own_depth(fitted):
    before, after = (fitted.layers[name].toarray() for name in ("counts", "xadv"))
    assert (after == np.rint(after)).all()
    assert after.min() == 0
    correlation = np.corrcoef(np.log(before.sum(1)), np.log(after.sum(1)))[0, 1]
    assert correlation > 0.9


def test_a_fit_of_counts_raises_no_warning(recwarn):
    adata = make_adata()
    adata.X = np.random.default_rng(0).poisson(50, adata.shape).astype(np.float32)
    sp.tl.fit_tspg(adata, "tissue", "lung")
    assert not [w for w in recwarn if "whole numbers" in str(w.message)]


def test_a_saved_model_of_counts_still_reads_counts(fitted, tmp_path):
    model = sp.get.model(fitted)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model")
    found = loaded.perturb(fitted.layers["counts"][:5])
    assert (found == fitted.layers["xadv"][:5].toarray()).all()


def test_other_units_than_those_of_the_model_are_warned_of(fitted):
    new = make_adata(n_genes=30, seed=3)
    with pytest.warns(UserWarning, match="fitted on counts"):
        sp.tl.perturb(new, reference=fitted, layer="X")
