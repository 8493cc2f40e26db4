"""A fit is read only with the data that it belongs to."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.get._model import checked_model
from tests.conftest import fit_tspg, make_adata

SETS = {"a": ["gene0", "gene1", "gene2"], "b": ["gene3", "gene4"]}
READERS = {
    "get.perturbation": sp.get.perturbation,
    "get.transition": lambda a: sp.get.transition(a, a.obs_names[0]),
    "get.transition_genes": sp.get.transition_genes,
    "get.perturbed_adata": sp.get.perturbed_adata,
    "tl.rank_genes": sp.tl.rank_genes,
    "tl.embed": lambda a: sp.tl.embed(a, method="pca"),
    "tl.perturb": sp.tl.perturb,
    "pl.perturbation_heatmap": lambda a: sp.pl.perturbation_heatmap(a, a.obs_names[:2], show=False),
}
READERS_OF_LABELS = ("get.transition_genes", "tl.rank_genes", "tl.embed")


def scale(adata):
    sc.pp.scale(adata)


def replace(adata):
    adata.X = adata.X + 1


def double_the_layer(adata):
    adata.layers["log"] = 2 * adata.layers["log"]


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("change", [scale, replace])
def test_another_expression_than_that_of_the_fit_is_refused(fitted, read, change):
    change(fitted)
    with pytest.raises(ValueError, match=r"adata\.X has changed since fit 'tspg': .*'sample0'"):
        read(fitted)


def test_the_layer_of_the_fit_is_the_one_that_is_checked(adata):
    adata.layers["log"] = adata.X.copy()
    fit_tspg(adata, "tissue", "lung", layer="log", max_epochs=1)
    adata.X = adata.X + 1
    sp.get.perturbation(adata)
    double_the_layer(adata)
    with pytest.raises(ValueError, match=r"adata.layers\['log'\] has changed since fit"):
        sp.get.perturbation(adata)


def test_the_remedy_of_the_message_works(fitted):
    scale(fitted)
    with pytest.warns(UserWarning, match="beyond the range of the training samples"):
        sp.tl.perturb(fitted, reference=fitted)
    change = sp.get.perturbation(fitted)
    np.testing.assert_array_equal(change, fitted.layers["xadv"] - fitted.X)


def with_x(adata, x):
    adata.X = x
    return adata


HARMLESS = {
    "nothing": lambda a: a,
    "sparse": lambda a: with_x(a, sparse.csr_matrix(a.X)),
    "double precision": lambda a: with_x(a, a.X.astype(float)),
    "some samples": lambda a: a[a.obs["tissue"] == "liver"].copy(),
    "samples in another order": lambda a: a[::-1].copy(),
    "genes in another order": lambda a: a[:, ::-1].copy(),
    "a view": lambda a: a[5:40],
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_the_same_values_raise_no_alarm(fitted, change):
    sp.get.perturbation(change(fitted))  # a warning is an error in all tests


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_samples_whose_names_repeat_are_found_by_their_place(adata):
    adata.obs_names = ["a", "b"] * 25
    fit_tspg(adata, "tissue", "lung", max_epochs=1)
    sp.get.perturbation(adata)
    adata.X = adata.X * 2
    with pytest.raises(ValueError, match="has changed since fit"):
        sp.get.perturbation(adata)


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2", "ignore:.*Consolidated metadata")
def test_the_identity_survives_a_file(fitted, tmp_path, suffix):
    path = tmp_path / f"fitted.{suffix}"
    getattr(fitted, f"write_{suffix}")(path)
    read = getattr(ad, f"read_{suffix}")(path)
    sp.tl.rank_genes(read)
    read.X = read.X * 2
    with pytest.raises(ValueError, match="has changed since fit"):
        sp.tl.rank_genes(read)


def test_a_fit_of_version_0_1_0_has_no_identity_and_is_read(fitted):
    del fitted.uns["tspg"]["identity"]
    fitted.X = fitted.X + 1
    sp.get.perturbation(fitted)


def test_new_samples_have_an_identity_of_their_own(fitted):
    new = make_adata(seed=3)
    sp.tl.perturb(new, reference=fitted)
    sp.get.perturbation(new)
    sp.tl.rank_genes(new)  # labels of other samples are not those of the fit
    new.X = new.X * 2
    with pytest.raises(ValueError, match="has changed since fit"):
        sp.get.perturbation(new)


def rename(adata):
    adata.obs["tissue"] = adata.obs["tissue"].cat.rename_categories({"liver": "Liver"})


def rename_the_target(adata):
    adata.obs["tissue"] = adata.obs["tissue"].cat.rename_categories({"lung": "Lung"})


def swap_two_samples(adata):
    labels = adata.obs["tissue"].astype(str).to_numpy()
    labels[[17, 49]] = labels[[49, 17]]
    adata.obs["tissue"] = pd.Categorical(labels)


def merge(adata):
    adata.obs["tissue"] = pd.Categorical(
        adata.obs["tissue"].astype(str).replace("liver", "thyroid")
    )


@pytest.mark.parametrize("name", READERS_OF_LABELS)
@pytest.mark.parametrize("change", [rename, rename_the_target, swap_two_samples, merge])
def test_other_labels_than_those_of_the_fit_are_refused(fitted, name, change):
    change(fitted)
    with pytest.raises(ValueError, match=r"labels in adata.obs\['tissue'\] have changed since fit"):
        READERS[name](fitted)


def test_the_message_shows_a_sample_whose_label_changed(fitted):
    rename_the_target(fitted)
    with pytest.raises(ValueError, match="sample 'sample2\\d' was 'lung', is 'Lung'"):
        sp.tl.rank_genes(fitted)


@pytest.mark.parametrize("name", READERS_OF_LABELS)
def test_categories_without_samples_come_and_go_unnoticed(fitted, name):
    fitted.obs["tissue"] = fitted.obs["tissue"].cat.add_categories("brain")
    READERS[name](fitted)
    fitted.obs["tissue"] = fitted.obs["tissue"].cat.reorder_categories(
        ["thyroid", "brain", "lung", "liver"]
    )
    READERS[name](fitted)


def test_labels_of_some_of_the_samples_are_checked_as_well(fitted):
    rename(fitted)
    part = fitted[:30].copy()
    with pytest.raises(ValueError, match="'sample0' was 'liver', is 'Liver'"):
        sp.tl.rank_genes(part)


def test_training_samples_that_are_gone_are_counted(fitted):
    part = fitted[5:].copy()
    n_gone = int((fitted.obs["tspg_split"][:5] == "train").sum())
    with pytest.warns(UserWarning, match=f"{n_gone} of the 40 training samples .*'liver'"):
        sp.tl.rank_genes(part, n_bootstrap=2)
    with pytest.warns(UserWarning, match=f"{n_gone} of the 40 training samples"):
        sp.get.transition(part, "sample9", n_bootstrap=2)


def test_another_split_than_that_of_the_fit_is_refused(fitted):
    fitted.obs["tspg_split"] = fitted.obs["tspg_split"].to_numpy()[::-1]
    with pytest.raises(ValueError, match=r"adata.obs\['tspg_split'\] is not the split of fit"):
        sp.tl.rank_genes(fitted, n_bootstrap=2)


def test_samples_that_were_added_do_not_train(fitted):
    more = make_adata(seed=1)
    more.obs_names = [f"new{i}" for i in range(more.n_obs)]
    more.layers["xadv"] = more.X.copy()
    both = ad.concat([fitted, more], join="outer", uns_merge="first")
    both.obs["tissue"] = both.obs["tissue"].astype("category")
    assert both.obs["tspg_split"].isna().sum() == more.n_obs
    checked_model(both, "tspg", labels=True, training=True)
    expected = sp.get.transition(fitted, "sample3", n_bootstrap=3)
    found = sp.get.transition(both, "sample3", n_bootstrap=3)
    pd.testing.assert_frame_equal(found, expected)


def test_a_new_layer_ends_what_was_derived_from_the_old_one(fitted_many):
    sp.tl.rank_genes(fitted_many)
    sp.tl.enrich(fitted_many, SETS, min_size=1, n_genes=3)
    sp.tl.enrich(fitted_many, SETS, min_size=1, n_genes=3, key_added="mine")
    sp.tl.embed(fitted_many, method="pca")
    fitted_many.uns["others"] = {"params": {"method": "t-test"}}
    sp.tl.perturb(fitted_many, "liver")
    for name in ("tspg_rank_genes", "tspg_enrichment", "mine", "tspg_pca"):
        assert name not in fitted_many.uns
    assert "others" in fitted_many.uns
    with pytest.raises(KeyError, match="tl.rank_genes"):
        sp.tl.enrich(fitted_many, SETS)


def test_a_new_fit_ends_what_was_derived_from_the_old_one(fitted):
    sp.tl.rank_genes(fitted)
    sp.tl.enrich(fitted, SETS, min_size=1, n_genes=3, key_added="mine")
    fit_tspg(fitted, "tissue", "liver", max_epochs=1)
    assert not {"tspg_rank_genes", "mine"} & set(fitted.uns)


def test_what_was_derived_from_another_fit_stays(fitted):
    fit_tspg(fitted, "tissue", "liver", max_epochs=1, key_added="k")
    sp.tl.rank_genes(fitted, key="k")
    sp.tl.perturb(fitted)
    assert "k_rank_genes" in fitted.uns


def test_a_result_of_another_target_is_refused(fitted_many):
    """As version 0.1.0 left it: it kept rankings of an earlier layer."""
    sp.tl.rank_genes(fitted_many)
    sp.tl.enrich(fitted_many, SETS, min_size=1, n_genes=3)
    sp.tl.embed(fitted_many, method="pca")
    kept = dict(fitted_many.uns), dict(fitted_many.obsm)
    sp.tl.perturb(fitted_many, "liver")
    fitted_many.uns |= {n: v for n, v in kept[0].items() if n != "tspg"}
    for name, points in kept[1].items():
        fitted_many.obsm[name] = points
    table = pd.DataFrame({"target": ["lung"], "source": ["all"], "method": ["this model"]})
    fitted_many.uns["tspg"]["evaluation"] = table
    for read in (
        sp.get.rank_genes_df,
        sp.get.enrichment_df,
        sp.get.evaluation_df,
        lambda a: sp.get.embedding(a, "pca"),
        lambda a: sp.tl.enrich(a, SETS),
        lambda a: sp.pl.rank_genes(a, show=False),
    ):
        with pytest.raises(ValueError, match="is of target 'lung', .* of 'liver'. Call sp.tl"):
            read(fitted_many)


@pytest.mark.parametrize("recipe", ["transport", "paper"])
def test_the_order_of_categories_does_not_matter(build, recipe):
    fits = build(), build()
    fits[1].obs["tissue"] = (
        fits[1].obs["tissue"].cat.reorder_categories(["thyroid", "liver", "lung"])
    )
    for adata in fits:
        fit_tspg(adata, "tissue", "lung", recipe=recipe, max_epochs=2)
    assert (fits[0].obs["tspg_split"] == fits[1].obs["tspg_split"]).all()
    np.testing.assert_array_equal(fits[0].layers["xadv"], fits[1].layers["xadv"])
    assert fits[0].uns["tspg"]["classes"].tolist() == ["liver", "lung", "thyroid"]
    sp.tl.rank_genes(fits[1])


def test_the_order_of_categories_asks_for_no_new_classifier(fitted):
    fitted.obs["tissue"] = fitted.obs["tissue"].cat.reorder_categories(["thyroid", "liver", "lung"])
    fit_tspg(fitted, "tissue", "lung", max_epochs=1)


@pytest.mark.parametrize(
    "damage",
    [
        {"samples": np.array(["sample0"])},
        {"expression": 3},
        {"sample_labels": np.zeros((2, 2))},
        {"n_train": np.array([1.5, 2, 3])},
        {"labels": None},
    ],
    ids=str,
)
def test_a_damaged_identity_is_named(fitted, damage):
    fitted.uns["tspg"]["identity"] |= damage
    with pytest.raises(ValueError, match=r"uns\['tspg'\]\['identity'\] is damaged"):
        sp.get.perturbation(fitted)


def test_text_with_numbers_is_ordered_by_the_numbers(adata):
    names = {"liver": "CD14+", "lung": "CD4+", "thyroid": "B"}
    adata.obs["tissue"] = adata.obs["tissue"].astype(str).map(names)
    fit_tspg(adata, "tissue", "CD4+", max_epochs=1)
    assert adata.uns["tspg"]["classes"].tolist() == ["B", "CD4+", "CD14+"]
