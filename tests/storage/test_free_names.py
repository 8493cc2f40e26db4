"""What the user has stored under a name is not overwritten by a result."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import zarr

import scgan_perturb as sp
from tests.conftest import make_adata, same_adata


def layer(name):
    return lambda a: a.layers.__setitem__(name, a.X.copy())


def entry(name, value):
    return lambda a: a.uns.__setitem__(name, value)


def column(name, values):
    return lambda a: a.obs.__setitem__(name, values)


def neighbors(adata):
    """As scanpy stores them."""
    names = {"connectivities_key": "connectivities", "distances_key": "distances"}
    adata.uns["neighbors"] = {**names, "params": {"n_neighbors": 5, "method": "umap"}}


def scanpy_ranking(adata):
    sc.tl.rank_genes_groups(adata, "tissue", key_added="mine", method="t-test")


TAKEN = {
    "raw counts": (layer("counts"), "counts", r"layers\['counts'\]"),
    "scanpy's neighbours": (neighbors, "neighbors", r"uns\['neighbors'\]"),
    "scanpy's ranking": (scanpy_ranking, "mine", r"uns\['mine'\]"),
    "a dict with parameters": (entry("umap", {"params": {"a": 1.0}}), "umap", r"uns\['umap'\]"),
    "text": (entry("mine", "text"), "mine", r"uns\['mine'\]"),
    "the layer of the default fit": (layer("xadv"), None, r"layers\['xadv'\]"),
    "the default entry": (entry("tspg", {"a": 1}), None, r"uns\['tspg'\]"),
    "a column of predictions": (column("tspg_predicted", "B"), None, r"obs\['tspg_predicted'\]"),
    "a column of probabilities": (column("k_target_probability", 1.0), "k", r"obs\['k_target_probability'\]"),
    "a column called split": (column("k_split", "left"), "k", r"obs\['k_split'\]"),
    "the classifier's column": (column("classifier_predicted", "B"), None, r"obs\['classifier_predicted'\]"),
    "several": (lambda a: (layer("k")(a), column("k_predicted", "B")(a)), "k", r"layers\['k'\], adata.obs\['k_predicted'\], which are not"),
}  # fmt: skip


@pytest.fixture
def classified(adata):
    sp.tl.fit_classifier(adata, "tissue", max_epochs=2)
    return adata


@pytest.mark.parametrize(("fill", "key", "match"), TAKEN.values(), ids=TAKEN)
def test_a_fit_overwrites_nothing_of_the_users(adata, fill, key, match):
    with np.errstate(all="ignore"):
        fill(adata)
    before = adata.copy()
    with pytest.raises(
        ValueError, match=f"would overwrite adata.{match}.* Choose another key_added"
    ):
        sp.tl.fit_tspg(adata, "tissue", "lung", key_added=key)
    assert same_adata(adata, before)


@pytest.mark.parametrize("key", ["X", "xadv"])
def test_a_fit_is_not_called_like_another_matrix(adata, key):
    with pytest.raises(ValueError, match=f"key_added='{key}' is the name of another matrix"):
        sp.tl.fit_tspg(adata, "tissue", "lung", key_added=key)


def test_an_earlier_fit_is_replaced(fitted):
    before = fitted.uns["tspg"]["params"]["seed"]
    sp.tl.fit_tspg(fitted, "tissue", "liver", rng=before + 1)
    assert fitted.uns["tspg"]["params"]["target"] == "liver"


def test_a_classifier_overwrites_neither_a_generator_nor_another_entry(fitted):
    neighbors(fitted)
    for key in ("tspg", "neighbors"):
        with pytest.raises(ValueError, match=rf"would overwrite adata\.uns\['{key}'\]"):
            sp.tl.fit_classifier(fitted, "tissue", max_epochs=1, key_added=key)
    sp.tl.fit_classifier(fitted, "tissue", max_epochs=1)


def test_a_generator_does_not_overwrite_a_classifier(classified):
    sp.tl.fit_classifier(classified, "tissue", max_epochs=1, key_added="other")
    with pytest.raises(ValueError, match=r"would overwrite adata\.uns\['other'\]"):
        sp.tl.fit_tspg(classified, "tissue", "lung", key_added="other")


def test_a_split_that_a_fit_reads_and_one_that_is_left_over_can_be_written_again(classified):
    del classified.uns["classifier"], classified.obs["classifier_predicted"]
    sp.tl.fit_classifier(classified, "tissue", max_epochs=1, held_out="classifier_split")
    classified.obs["tspg_split"] = pd.Categorical(["train", "test"] * 25)
    sp.tl.fit_tspg(classified, "tissue", "lung")


@pytest.mark.parametrize("name", ["xadv", None], ids=["layer", "column"])
def test_perturb_overwrites_nothing_of_the_users_and_twice_is_fine(fitted, name):
    new = make_adata(seed=1)
    if name:
        new.layers["xadv"] = new.X.copy()
    else:
        new.obs["tspg_predicted"] = "B"
    before = new.copy()
    with pytest.raises(ValueError, match="would overwrite"):
        sp.tl.perturb(new, reference=fitted)
    assert same_adata(new, before)
    new = make_adata(seed=1)
    sp.tl.perturb(new, reference=fitted)
    sp.tl.perturb(new, reference=fitted)


DERIVED = {
    "enrichment": (lambda a: sp.tl.enrich(a, {"s": list(a.var_names[:6])}, key_added="neighbors"), "uns", "neighbors"),
    "enrichment of a ranking's name": (lambda a: sp.tl.enrich(a, {"s": list(a.var_names[:6])}, key_added="tspg_rank_genes"), None, "tspg_rank_genes"),
    "ranking": (sp.tl.rank_genes, "uns", "tspg_rank_genes"),
    "embedding": (lambda a: sp.tl.embed(a, method="pca"), "obsm", "tspg_pca"),
    "embedding of the perturbed": (lambda a: sp.tl.embed(a, method="pca"), "obsm", "tspg_pca_xadv"),
    "evaluation": (lambda a: sp.tl.evaluate(a, prediction="xadv", groupby="tissue", target="lung", held_out="tspg_split", key_added="neighbors"), "uns", "neighbors"),
}  # fmt: skip


@pytest.mark.parametrize(("verb", "part", "name"), DERIVED.values(), ids=DERIVED)
def test_derived_results_overwrite_nothing_of_the_users(fitted, verb, part, name):
    if name != "tspg_rank_genes" or part is None:
        sp.tl.rank_genes(fitted)
    if part:
        getattr(fitted, part)[name] = {"params": {}} if part == "uns" else np.ones((50, 3))
    before = fitted.copy()
    with pytest.raises(ValueError, match=rf"would overwrite adata\.\w+\['{name}'\]"):
        verb(fitted)
    assert same_adata(fitted, before)


def test_derived_results_replace_earlier_ones(fitted):
    for _ in range(2):
        sp.tl.rank_genes(fitted)
        sp.tl.enrich(fitted, {"s": list(fitted.var_names[:6])}, min_size=2)
        sp.tl.embed(fitted, method="pca")
        sp.tl.evaluate(fitted, n_bootstrap=0)


def test_a_gene_set_overwrites_no_other_column(adata):
    adata.var["symbol"] = "x"
    with pytest.raises(
        ValueError, match=r"adata\.var\['symbol'\] holds .*Choose another key_added"
    ):
        sp.pp.gene_set(adata, ["gene1"], key_added="symbol")
    for gene in ("gene1", "gene2"):
        sp.pp.gene_set(adata, [gene], key_added="mine")
    assert list(adata.var_names[adata.var["mine"]]) == ["gene2"]


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_a_file_keeps_what_the_user_stored_in_it(tmp_path, kind):
    adata = make_adata(kind="csr")
    adata.layers["counts"] = adata.X.copy()
    if kind == "h5ad":
        adata.write_h5ad(tmp_path / "cells.h5ad")
        opened = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    else:
        adata.write_zarr(tmp_path / "cells.zarr")
        group = zarr.open_group(tmp_path / "cells.zarr", mode="r+")
        # The AnnData does not know of the layer, the store does.
        opened = ad.AnnData(ad.io.sparse_dataset(group["X"]), obs=adata.obs, var=adata.var)
    with pytest.raises(ValueError, match=r"would overwrite adata\.layers\['counts'\]"):
        sp.tl.fit_tspg(opened, "tissue", "lung", key_added="counts")
    sp.tl.fit_tspg(opened, "tissue", "lung", key_added="mine")
    sp.tl.fit_tspg(opened, "tissue", "lung", key_added="mine")
    read = ad.read_h5ad if kind == "h5ad" else ad.read_zarr
    if kind == "h5ad":
        opened.file.close()
    found = read(tmp_path / f"cells.{kind}")
    assert {"counts", "mine"} <= set(found.layers)
    np.testing.assert_array_equal(found.layers["counts"].toarray(), adata.X.toarray())
