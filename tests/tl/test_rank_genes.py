from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scgan_perturb as sp
from scgan_perturb.models._perturbation_model import N_DRAWS_EXPECTED
from scgan_perturb.tl import _rank_genes
from tests.conftest import make_adata, same_adata

KEY = "tspg_rank_genes"

# What scanpy's reader itself does with pandas 3.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


@pytest.fixture
def ranked(fitted):
    sp.tl.rank_genes(fitted)
    return fitted


def changes(adata: ad.AnnData, rows: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = adata.obs_names[rows]
    assert adata.uns[KEY]["params"]["n_draws"] == N_DRAWS_EXPECTED  # of get.perturbation as well
    return tuple(
        sp.get.perturbation(adata, names, units=unit, expected=True) for unit in ("scaled", "input")
    )


@pytest.mark.parametrize("group", ["liver", "thyroid", "all"])
def test_columns_agree_with_pandas(ranked, group):
    tissue = ranked.obs["tissue"]
    scaled, change = changes(ranked, tissue != "lung" if group == "all" else tissue == group)
    table = sp.get.rank_genes_df(ranked, group).set_index("gene")
    mean = scaled.mean()
    expected = pd.DataFrame(
        {
            "mean": mean,
            "sd": scaled.std(),
            "share": (np.sign(scaled) == np.sign(mean)).mean(),
            "logfoldchange": change.mean(),
        }
    )
    np.testing.assert_allclose(table[list(expected)].loc[expected.index], expected, atol=1e-6)


@pytest.mark.parametrize(("n_all", "n_each"), [(35 * 3, 3), (34, 1)])
def test_many_samples_have_fewer_draws_each(fitted, monkeypatch, n_all, n_each):
    monkeypatch.setattr(_rank_genes, "N_DRAWS", n_all)
    sp.tl.rank_genes(fitted)
    assert fitted.uns[KEY]["params"]["n_draws"] == n_each
    x = fitted.X[(fitted.obs["tissue"] != "lung").to_numpy()]
    mean = (sp.get.model(fitted).expected(x, n_draws=n_each) - x).mean(axis=0)
    table = sp.get.rank_genes_df(fitted, "all").set_index("gene").loc[fitted.var_names]
    np.testing.assert_allclose(table["logfoldchange"], mean, atol=1e-5)


def test_recipe_paper_is_ranked_by_its_layer(fitted_by_paper):
    sp.tl.rank_genes(fitted_by_paper)
    assert "n_draws" not in fitted_by_paper.uns[KEY]["params"]
    change = (fitted_by_paper.layers["xadv"] - fitted_by_paper.X)[
        (fitted_by_paper.obs["tissue"] == "liver").to_numpy()
    ]
    table = sp.get.rank_genes_df(fitted_by_paper, "liver").set_index("gene")
    found = table["logfoldchange"].loc[fitted_by_paper.var_names]
    np.testing.assert_allclose(found, change.mean(axis=0), atol=1e-5)


def test_genes_come_by_falling_mean(ranked):
    for _, table in sp.get.rank_genes_df(ranked).groupby("group", observed=True):
        assert table["mean"].is_monotonic_decreasing


def test_groups_are_all_and_each_source_class(ranked):
    assert ranked.uns[KEY]["names"].dtype.names == ("all", "liver", "thyroid")


def test_scanpy_reads_the_table(ranked):
    theirs = sc.get.rank_genes_groups_df(ranked, group="liver", key=KEY)
    ours = sp.get.rank_genes_df(ranked, "liver")
    assert list(theirs["names"]) == list(ours["gene"])
    assert list(theirs["scores"]) == list(ours["mean"])
    assert list(theirs["logfoldchanges"]) == list(ours["logfoldchange"])
    assert theirs["pvals"].isna().all()


def test_scanpy_reads_all_groups_and_filters_by_fold_change(ranked):
    table = sc.get.rank_genes_groups_df(ranked, group=None, key=KEY, log2fc_min=0)
    assert set(table["group"]) == {"all", "liver", "thyroid"}
    assert (table["logfoldchanges"] > 0).all()


def test_scanpy_draws_it(ranked):
    axes = sc.pl.rank_genes_groups(ranked, key=KEY, show=False)
    assert axes[0].get_title() == "all vs. original"


def test_held_out_samples_can_be_taken_alone(fitted):
    sp.tl.rank_genes(fitted, split="test")
    rows = (fitted.obs["tissue"] != "lung") & (fitted.obs["tspg_split"] == "test")
    table = sp.get.rank_genes_df(fitted, "all").set_index("gene")
    scaled, _ = changes(fitted, rows)
    np.testing.assert_allclose(table["mean"].loc[scaled.columns], scaled.mean(), atol=1e-6)
    assert fitted.uns[KEY]["params"]["split"] == "test"


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.filterwarnings("ignore:The data type:FutureWarning")
def test_labels_with_any_character_survive_a_file(tmp_path, kind):
    adata = make_adata({"CD4+/CD45RO+ T": 10, "µ, 'x' (y)": 10, "1": 10, "lung": 10})
    sp.tl.fit_tspg(adata, "tissue", "lung")
    sp.tl.rank_genes(adata)
    path = tmp_path / f"ranked.{kind}"
    stored = ad.AnnData(adata.X, var=adata.var, uns={KEY: adata.uns[KEY]})
    getattr(stored, f"write_{kind}")(path)
    read = getattr(ad, f"read_{kind}")(path)
    pd.testing.assert_frame_equal(sp.get.rank_genes_df(read), sp.get.rank_genes_df(adata))
    table = sc.get.rank_genes_groups_df(read, group="CD4+/CD45RO+ T", key=KEY)
    assert len(table) == adata.n_vars
    getattr(read, f"write_{kind}")(tmp_path / f"again.{kind}")


@pytest.mark.parametrize("context", ["B", "CD4+/CD8+ T", "NK"])
def test_columns_within_a_context_agree_with_pandas(ranked_in_contexts, context):
    adata = ranked_in_contexts
    is_source = (adata.obs["condition"] == "ctrl") & (adata.obs["cell_type"] == context)
    scaled, change = changes(adata, is_source.to_numpy())
    table = sp.get.rank_genes_df(adata, context=context).set_index("gene").loc[scaled.columns]
    np.testing.assert_allclose(table["mean"], scaled.mean(), atol=1e-6)
    np.testing.assert_allclose(table["sd"], scaled.std(), atol=1e-6)
    np.testing.assert_allclose(table["logfoldchange"], change.mean(), atol=1e-6)
    agree = np.sign(scaled) == np.sign(scaled.mean())
    np.testing.assert_allclose(table["share"], agree.mean(), atol=1e-6)


def test_contexts_do_not_change_the_groups(ranked_in_contexts):
    adata = ranked_in_contexts
    scaled, _ = changes(adata, (adata.obs["condition"] == "ctrl").to_numpy())
    for group in ("all", "ctrl"):
        table = sp.get.rank_genes_df(adata, group).set_index("gene").loc[scaled.columns]
        np.testing.assert_allclose(table["mean"], scaled.mean(), atol=1e-6)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.filterwarnings("ignore:The data type:FutureWarning")
def test_contexts_survive_a_file_and_scanpy_reads_the_rest(ranked_in_contexts, tmp_path, kind):
    path = tmp_path / f"ranked.{kind}"
    getattr(ranked_in_contexts, f"write_{kind}")(path)
    read = getattr(ad, f"read_{kind}")(path)
    for options in ({"context": "each"}, {}):
        expected = sp.get.rank_genes_df(ranked_in_contexts, **options)
        pd.testing.assert_frame_equal(sp.get.rank_genes_df(read, **options), expected)
    table = sp.get.context_genes_df(ranked_in_contexts)
    pd.testing.assert_frame_equal(sp.get.context_genes_df(read), table)
    assert len(sc.get.rank_genes_groups_df(read, group="ctrl", key=KEY)) == read.n_vars
    assert len(sc.pl.rank_genes_groups(read, key=KEY, show=False)) == 2


def test_contexts_of_samples_on_disk_are_ranked_in_the_file(ranked_in_contexts, tmp_path):
    path = tmp_path / "fitted.h5ad"
    expected = sp.get.rank_genes_df(ranked_in_contexts, context="each")
    del ranked_in_contexts.uns[KEY]
    ranked_in_contexts.write_h5ad(path)
    backed = ad.read_h5ad(path, backed="r+")
    sp.tl.rank_genes(backed)
    backed.file.close()
    found = sp.get.rank_genes_df(ad.read_h5ad(path), context="each")
    pd.testing.assert_frame_equal(found, expected)


def test_intervals_within_contexts_hold_the_mean(ranked_in_contexts):
    sp.tl.rank_genes(ranked_in_contexts, n_bootstrap=30)
    table = sp.get.rank_genes_df(ranked_in_contexts, context="each").set_index(["context", "gene"])
    moved = table.loc[[(context, "gene0") for context in ("B", "CD4+/CD8+ T", "NK")]]
    assert (moved["mean_low"] < moved["mean"]).all()
    assert (moved["mean"] < moved["mean_high"]).all()
    assert (moved["mean_low"] > 0).all()


def test_new_samples_of_a_context_that_never_trained_are_ranked_and_marked(ranked_in_contexts):
    new = ranked_in_contexts[ranked_in_contexts.obs["condition"] == "ctrl"].copy()
    new = ad.AnnData(new.X, obs=new.obs[["condition", "cell_type"]], var=new.var)
    new.obs["cell_type"] = new.obs["cell_type"].astype(str).replace({"NK": "Mono"})
    with pytest.warns(UserWarning, match="'Mono'"):
        sp.tl.perturb(new, reference=ranked_in_contexts)
    sp.tl.rank_genes(new)
    stored = new.uns[KEY]["contexts"]
    assert list(stored["contexts"]) == ["B", "CD4+/CD8+ T", "Mono"]
    assert list(stored["n_samples"]) == [12, 12, 12]
    assert list(stored["n_target"]) == [12, 12, 0]


@pytest.mark.parametrize("kind", ["csr", "csc", "float64"])
def test_the_kind_of_matrix_does_not_matter(ranked, build, kind):
    other = build(kind=kind)
    other.uns["tspg"] = ranked.uns["tspg"]
    sp.tl.perturb(other)
    sp.tl.rank_genes(other)
    pd.testing.assert_frame_equal(
        sp.get.rank_genes_df(other), sp.get.rank_genes_df(ranked), atol=1e-4
    )


@pytest.mark.filterwarnings("ignore:.*constant")
@pytest.mark.filterwarnings("ignore:.*never var")
def test_genes_constant_in_training_are_left_out():
    adata = make_adata()
    adata.X[:, 3] = 2
    sp.tl.fit_tspg(adata, "tissue", "lung")
    sp.tl.rank_genes(adata)
    assert "gene3" not in set(sp.get.rank_genes_df(adata)["gene"])
    assert len(sp.get.rank_genes_df(adata, "all")) == 11


def test_one_sample_has_no_spread(fitted):
    one = fitted[fitted.obs_names[:1]].copy()
    sp.tl.rank_genes(one)
    assert sp.get.rank_genes_df(one, "liver")["sd"].isna().all()


def test_a_copy_is_returned_and_the_original_left_alone(fitted):
    before = fitted.copy()
    copied = sp.tl.rank_genes(fitted, copy=True)
    assert KEY in copied.uns
    assert same_adata(fitted, before)


def test_another_fit_has_a_ranking_of_its_own(fitted):
    fitted.uns["k"], fitted.layers["k"] = fitted.uns["tspg"], fitted.layers["xadv"]
    fitted.obs["k_predicted"] = fitted.obs["tspg_predicted"]
    sp.tl.rank_genes(fitted, key="k")
    assert "k_rank_genes" in fitted.uns
    assert KEY not in fitted.uns
    assert len(sp.get.rank_genes_df(fitted, "all", key="k")) == 12


def rename(adata):
    adata.obs["tissue"] = adata.obs["tissue"].cat.rename_categories({"liver": "all"})
    del adata.uns["tspg"]["identity"]  # as if it had been called so from the start


def only_lung(adata):
    adata._inplace_subset_obs(adata.obs["tissue"] == "lung")


@pytest.mark.parametrize(
    ("spoil", "arguments", "error", "match"),
    [
        pytest.param(lambda a: a.uns.pop("tspg"), {}, KeyError, "fit_tspg", id="no fit"),
        pytest.param(lambda a: a.layers.pop("xadv"), {}, KeyError, "tl.perturb", id="no layer"),
        pytest.param(lambda a: None, {"split": "tset"}, ValueError, "'tset'", id="split"),
        pytest.param(
            lambda a: a.obs.pop("tspg_split"), {"split": "test"}, KeyError, "None", id="no split"
        ),
        pytest.param(rename, {}, ValueError, "called 'all'", id="label called all"),
        pytest.param(only_lung, {}, ValueError, "than the target 'lung'", id="no source"),
    ],
)
def test_bad_input_is_named_and_nothing_written(fitted, spoil, arguments, error, match):
    spoil(fitted)
    before = fitted.copy()
    with pytest.raises(error, match=match):
        sp.tl.rank_genes(fitted, **arguments)
    assert same_adata(fitted, before)
