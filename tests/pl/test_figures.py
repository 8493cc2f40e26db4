from __future__ import annotations

import os

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scanpy.pl import palettes

import scgan_perturb as sp
from scgan_perturb.pl._embedding import OKABE_ITO, class_looks
from tests.conftest import make_adata, same_adata

PLOTS = {
    "heatmap": lambda a, **kw: sp.pl.perturbation_heatmap(a, ["sample0", "sample1"], **kw),
    "tsne": sp.pl.tsne,
    "umap": sp.pl.umap,
    "pca": sp.pl.pca,
    "history": sp.pl.history,
    "rank_genes": sp.pl.rank_genes,
    "enrichment": sp.pl.enrichment,
}


@pytest.fixture
def embedded(fitted):
    # Made up: drawing needs coordinates, not a good embedding.
    rng = np.random.default_rng(0)
    for method in ("tsne", "umap", "pca"):
        fitted.obsm[f"tspg_{method}"] = rng.normal(size=(50, 2)).astype(np.float32)
        fitted.obsm[f"tspg_{method}_xadv"] = np.full((50, 2), np.nan, dtype=np.float32)
        fitted.obsm[f"tspg_{method}_xadv"][:5] = rng.normal(size=(5, 2))
    sp.tl.rank_genes(fitted)
    sp.tl.enrich(fitted, {"SET": list(fitted.var_names[:6])}, n_genes=12)
    return fitted


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_the_figure_is_returned_when_asked_for(embedded, plot):
    assert isinstance(plot(embedded, return_fig=True), Figure)


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_axes_are_returned_when_nothing_is_shown(embedded, plot):
    axes = np.ravel(plot(embedded, show=False))
    assert all(hasattr(ax, "get_xlim") for ax in axes)


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_nothing_is_returned_when_shown(embedded, plot):
    os.environ["DISPLAY"] = "a screen"  # without one, matplotlib shows nothing and is silent
    with pytest.warns(UserWarning, match="is non-interactive, and thus cannot be shown"):
        assert plot(embedded, show=True) is None


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_drawing_changes_no_data(embedded, plot):
    before = embedded.copy()
    plot(embedded, show=False)
    assert same_adata(embedded, before)


@pytest.mark.parametrize("name", ["tsne", "umap", "pca"])
def test_given_axes_are_drawn_on(embedded, name):
    _, ax = plt.subplots()
    assert PLOTS[name](embedded, ax=ax, show=False) is ax
    assert ax.collections


def test_originals_are_drawn_by_class_and_perturbed_samples_set_off(embedded):
    ax = sp.pl.tsne(embedded, show=False)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["liver", "lung", "thyroid", "perturbed to lung"]
    assert [len(points.get_offsets()) for points in ax.collections] == [20, 15, 15, 5]


def test_the_users_own_colours_are_used(embedded):
    embedded.uns["tissue_colors"] = ["#111111", "#222222", "#333333"]
    ax = sp.pl.tsne(embedded, show=False)
    found = [to_hex(points.get_facecolor()[0]) for points in ax.collections[:3]]
    assert found == ["#111111", "#222222", "#333333"]


@pytest.mark.parametrize(
    ("n_classes", "first", "shapes"),
    [
        (7, OKABE_ITO, "o"),
        (9, palettes.default_20, "os^DvP<*>"),
        (21, palettes.default_102, "os^DvP<*>"),
    ],
    ids=["few", "some", "many"],
)
def test_classes_without_colours_of_their_own_get_those_of_a_palette(n_classes, first, shapes):
    labels = pd.Series(pd.Categorical([f"{i:02d}" for i in range(n_classes)]))
    adata = ad.AnnData(np.zeros((n_classes, 1)), obs={"type": labels.to_numpy()})
    looks = class_looks(adata, "type", labels).values()
    assert [look["color"] for look in looks] == list(first[:n_classes])
    assert {look.get("marker", "o") for look in looks} == set(shapes)


def test_the_heatmap_shows_the_transition(fitted):
    (ax,) = sp.pl.perturbation_heatmap(fitted, "sample3", show=False)
    drawn = np.column_stack([image.get_array() for image in ax.images])
    np.testing.assert_allclose(drawn, sp.get.transition(fitted, "sample3"))
    assert {image.get_clim() for image in ax.images} == {(-1, 1)}
    assert "liver → lung" in ax.get_title()


def test_the_heatmap_has_a_panel_for_each_sample(fitted):
    assert len(sp.pl.perturbation_heatmap(fitted, ["sample0", "sample9"], show=False)) == 2


def test_all_gene_names_are_shown_where_they_can_be_read(fitted):
    (ax,) = sp.pl.perturbation_heatmap(fitted, "sample3", show=False)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == list(sp.get.transition(fitted, "sample3").index)


def test_else_the_strongest_genes_are_labelled():
    adata = make_adata(n_genes=300)
    sp.tl.fit_classifier(adata, "tissue", max_epochs=1)
    sp.tl.fit_tspg(adata, "tissue", "lung")
    (ax,) = sp.pl.perturbation_heatmap(adata, "sample3", show=False)
    genes = sp.get.transition(adata, "sample3").index
    assert {text.get_text() for text in ax.texts} == {*genes[:12], *genes[-12:]}


def test_axes_for_several_samples_are_refused(fitted):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="just one if ax is given"):
        sp.pl.perturbation_heatmap(fitted, ["sample0", "sample1"], ax=ax)


@pytest.mark.parametrize("recipe", ["fitted", "fitted_by_paper"])
def test_the_history_has_a_panel_for_each_measure(request, recipe):
    fitted = request.getfixturevalue(recipe)
    axes = sp.pl.history(fitted, show=False)
    drawn = [ax for ax in axes.flat if ax.lines]
    assert len(drawn) == sp.get.history(fitted).shape[1]
    np.testing.assert_allclose(drawn[0].lines[0].get_ydata(), sp.get.history(fitted).iloc[:, 0])
    titles = [ax.get_title() for ax in drawn]
    assert not [title for title in titles if "_" in title]  # each measure has a title in words


def test_the_history_of_a_classifier_can_be_drawn(fitted):
    assert sp.pl.history(fitted, key="classifier", show=False).shape == (1, 3)


def test_an_embedding_that_was_not_made_names_the_call(fitted):
    with pytest.raises(KeyError, match=r"sp\.tl\.embed\(adata, method='umap'\)"):
        sp.pl.umap(fitted)
