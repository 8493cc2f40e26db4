from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

import scgan_perturb as sp
from tests.conftest import make_adata, same_adata


@pytest.mark.parametrize("method", ["tsne", "pca"])  # "umap": the example of pl.umap
def test_each_method_places_originals_and_perturbed_samples(fitted, method):
    sp.tl.embed(fitted, method=method, n_perturbed=7)
    originals, perturbed = (fitted.obsm[f"tspg_{method}{end}"] for end in ("", "_xadv"))
    assert originals.shape == perturbed.shape == (50, 2)
    is_perturbed = np.isfinite(perturbed).all(axis=1)
    assert is_perturbed.sum() == 7
    np.testing.assert_array_equal(np.isfinite(originals).all(axis=1), ~is_perturbed)


def test_perturbed_samples_are_held_out_ones_of_other_classes_first(fitted):
    sp.tl.embed(fitted, method="pca", n_perturbed=9)
    shown = fitted.obs[np.isfinite(fitted.obsm["tspg_pca_xadv"]).all(axis=1)]
    assert (shown["tissue"] != "lung").all()
    assert (shown["tspg_split"] == "test").sum() == 7  # all there are
    assert len(shown) == 9


def test_the_target_is_always_among_the_classes_shown(fitted):
    for rng in range(5):
        sp.tl.embed(fitted, method="pca", n_classes=2, rng=rng)
        shown = fitted.obs["tissue"][np.isfinite(fitted.obsm["tspg_pca"]).all(axis=1)]
        assert "lung" in set(shown)
        assert shown.nunique() == 2
        assert len(shown) == (fitted.obs["tissue"].isin(shown.unique())).sum()


def test_pca_is_that_of_originals_and_perturbed_samples_together(fitted):
    sp.tl.embed(fitted, method="pca", n_perturbed=7)
    table = sp.get.embedding(fitted, "pca")
    scaler = sp.get.model(fitted).scaler
    names = {state: table.index[table["state"] == state] for state in ("original", "perturbed")}
    originals, perturbed = fitted[names["original"]].X, fitted[names["perturbed"]].layers["xadv"]
    together = np.vstack([scaler.transform(originals), scaler.transform(perturbed)])
    expected = PCA(2).fit_transform(together)
    np.testing.assert_allclose(np.abs(table[["x", "y"]]), np.abs(expected), atol=1e-3)


def test_the_same_seed_gives_the_same_coordinates(fitted):
    again = fitted.copy()
    for adata in (fitted, again):
        sp.tl.embed(adata, n_perturbed=7)
    np.testing.assert_array_equal(fitted.obsm["tspg_tsne"], again.obsm["tspg_tsne"])


def test_few_samples_can_be_embedded():
    adata = make_adata({"liver": 4, "lung": 4})
    sp.tl.fit_classifier(adata, "tissue", max_epochs=1)
    sp.tl.fit_tspg(adata, "tissue", "lung")
    sp.tl.embed(adata)
    assert np.isfinite(adata.obsm["tspg_tsne"]).all()


def test_new_samples_without_a_split_can_be_embedded(fitted):
    new = make_adata({"heart": 6, "lung": 2}, seed=9)
    sp.tl.perturb(new, reference=fitted)
    sp.tl.embed(new, method="pca")
    assert np.isfinite(new.obsm["tspg_pca_xadv"]).all(axis=1).sum() == 6


def test_copy_leaves_the_original_alone(fitted):
    before = fitted.copy()
    result = sp.tl.embed(fitted, method="pca", copy=True)
    assert same_adata(fitted, before)
    assert "tspg_pca" in result.obsm


def test_an_unknown_method_is_refused(fitted):
    with pytest.raises(ValueError, match="method must be one of 'tsne', 'umap', 'pca', not 'mds'"):
        sp.tl.embed(fitted, method="mds")
