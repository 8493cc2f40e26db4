from __future__ import annotations

import os

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

import scgan_perturb as sp
from tests.conftest import same_adata

# Made up: the effect of 12 genes in B, T and NK, of which NK never trained.
EFFECTS = np.zeros((3, 12), dtype=np.float32)
EFFECTS[:, 0] = (0.3, 0.4, 0.5)
EFFECTS[:, 1] = (-0.3, -0.4, 0.0)
EFFECTS[:, 2] = (0.0, 0.8, 0.0)
EFFECTS[:, 3] = (0.5, 0.0, 0.0)
EFFECTS[:, 4] = (0.7, -0.7, 0.7)
EFFECTS[:, 5] = (0.6, 0.5, 0.1)


@pytest.fixture
def made_up(ranked_in_contexts):
    ranked_in_contexts.uns["tspg_rank_genes"]["contexts"]["scores"] = EFFECTS
    return ranked_in_contexts


def names(ax) -> tuple[list[str], list[str]]:
    return tuple(
        [label.get_text() for label in labels]
        for labels in (ax.get_yticklabels(), ax.get_xticklabels())
    )


def test_genes_of_all_contexts_come_first_then_those_of_few(made_up):
    ax = sp.pl.context_heatmap(made_up, show=False)
    genes, contexts = names(ax)
    first = ["gene5", "gene0", "gene1", "gene4"]  # in all from up to down, then in some
    assert genes[:4] == first
    # Those of one context in the order of the contexts.
    of_b, of_t = contexts.index("B"), contexts.index("CD4+/CD8+ T")
    assert genes[4:] == (["gene3", "gene2"] if of_b < of_t else ["gene2", "gene3"])
    kinds = [text.get_text() for text in ax.texts]
    assert kinds == ["in all", "in some", "in one"]


def test_cells_show_the_effects_on_one_symmetric_scale(made_up):
    ax = sp.pl.context_heatmap(made_up, show=False)
    genes, contexts = names(ax)
    order = ["B", "CD4+/CD8+ T", "NK *"]
    rows = [order.index(context) for context in contexts]
    columns = [int(gene.removeprefix("gene")) for gene in genes]
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), EFFECTS[np.ix_(rows, columns)].T)
    np.testing.assert_allclose(image.get_clim(), (-0.8, 0.8))


def test_contexts_whose_target_never_trained_have_a_star_and_a_note(made_up):
    ax = sp.pl.context_heatmap(made_up, show=False)
    assert [name for name in names(ax)[1] if name.endswith("*")] == ["NK *"]
    assert "* no target samples trained" in " ".join(ax.get_xlabel().split())
    made_up.uns["tspg_rank_genes"]["contexts"]["n_target"][:] = 5
    ax = sp.pl.context_heatmap(made_up, show=False)
    assert ax.get_xlabel() == "cell_type"
    assert "NK" in names(ax)[1]


def test_contexts_with_similar_effects_stand_side_by_side(made_up):
    stored = made_up.uns["tspg_rank_genes"]["contexts"]
    contexts = ["a1", "b1", "a2", "b2", "a3", "b3"]
    rng = np.random.default_rng(0)
    centres = {"a": rng.normal(size=12), "b": rng.normal(size=12)}
    scores = [centres[name[0]] + rng.normal(0, 0.1, 12) for name in contexts]
    stored["contexts"], stored["n_target"] = np.array(contexts, dtype=object), np.full(6, 5)
    stored["n_samples"] = np.full(6, 5)
    for field in ("scores", "sds", "shares", "logfoldchanges"):
        stored[field] = np.array(scores, dtype=np.float32)
    drawn = names(sp.pl.context_heatmap(made_up, show=False))[1]
    assert "".join(name[0] for name in drawn) in ("aaabbb", "bbbaaa")


def test_n_genes_is_of_each_kind_and_keeps_the_strongest(made_up):
    genes, _ = names(sp.pl.context_heatmap(made_up, n_genes=1, show=False))
    assert genes == ["gene5", "gene4", "gene2"]


def test_a_single_context_can_be_drawn(ranked_in_contexts):
    one = ranked_in_contexts[ranked_in_contexts.obs["cell_type"] == "B"].copy()
    sp.tl.rank_genes(one)
    assert names(sp.pl.context_heatmap(one, show=False))[1] == ["B"]


def test_the_figure_is_returned_shown_or_drawn_on_axes_like_others(made_up):
    assert isinstance(sp.pl.context_heatmap(made_up, return_fig=True), Figure)
    _, ax = plt.subplots()
    assert sp.pl.context_heatmap(made_up, ax=ax, show=False) is ax
    os.environ["DISPLAY"] = "a screen"  # without one, matplotlib shows nothing and is silent
    with pytest.warns(UserWarning, match="is non-interactive, and thus cannot be shown"):
        assert sp.pl.context_heatmap(made_up, show=True) is None


def test_drawing_changes_no_data(made_up):
    before = made_up.copy()
    sp.pl.context_heatmap(made_up, show=False)
    assert same_adata(made_up, before)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"n_genes": 0}, "n_genes", id="no genes"),
        pytest.param({"min_mean": 2}, "min_mean", id="threshold"),
        pytest.param({"min_mean": 0.9}, "largest mean perturbation is 0.8", id="nothing moves"),
    ],
)
def test_bad_input_is_named(made_up, options, match):
    with pytest.raises(ValueError, match=match):
        sp.pl.context_heatmap(made_up, **options)
