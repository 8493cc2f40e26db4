from __future__ import annotations

import numpy as np
import pytest

import scgan_perturb as sp


def test_groups_come_in_the_order_asked_for(fitted):
    sp.tl.rank_genes(fitted)
    table = sp.get.rank_genes_df(fitted, ["thyroid", "all"])
    assert list(table["group"].unique()) == ["thyroid", "all"]
    assert len(table) == 24


def test_an_unknown_group_is_named_with_the_nearest(fitted):
    sp.tl.rank_genes(fitted)
    with pytest.raises(KeyError, match="'livr' not found. Nearest: 'liver'"):
        sp.get.rank_genes_df(fitted, "livr")


def test_a_ranking_that_was_not_made_names_the_call(fitted):
    with pytest.raises(KeyError, match=r"sp\.tl\.rank_genes\(adata\)"):
        sp.get.rank_genes_df(fitted)


@pytest.mark.parametrize(
    ("context", "names"),
    [
        pytest.param("NK", ["NK"], id="one"),
        pytest.param(["CD4+/CD8+ T", "B"], ["CD4+/CD8+ T", "B"], id="several"),
        pytest.param("each", ["B", "CD4+/CD8+ T", "NK"], id="each"),
    ],
)
def test_contexts_come_in_the_order_asked_for_by_falling_mean(ranked_in_contexts, context, names):
    table = sp.get.rank_genes_df(ranked_in_contexts, context=context)
    assert list(table["context"].unique()) == names
    assert len(table) == 12 * len(names)
    for _, rows in table.groupby("context", observed=True):
        assert rows["mean"].is_monotonic_decreasing


def damage(adata):
    adata.uns["tspg_rank_genes"]["contexts"]["scores"] = np.zeros((2, 12))


@pytest.mark.parametrize(
    ("spoil", "options", "error", "match"),
    [
        pytest.param(
            None, {"context": "nk"}, KeyError, "'nk' not found. Nearest: 'NK'", id="unknown"
        ),
        pytest.param(
            None, {"context": ["NK", "x"]}, KeyError, "Context 'x' not found", id="one of several"
        ),
        pytest.param(
            None, {"group": "all", "context": "NK"}, ValueError, "'all' or context='NK'", id="both"
        ),
        pytest.param(damage, {"context": "NK"}, ValueError, "is damaged", id="damaged"),
    ],
)
def test_contexts_that_cannot_be_shown_are_named(ranked_in_contexts, spoil, options, error, match):
    if spoil:
        spoil(ranked_in_contexts)
    with pytest.raises(error, match=match):
        sp.get.rank_genes_df(ranked_in_contexts, **options)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda a: sp.get.rank_genes_df(a, context="each"), id="rank_genes_df"),
        pytest.param(sp.get.context_genes_df, id="context_genes_df"),
        pytest.param(sp.pl.context_heatmap, id="context_heatmap"),
    ],
)
def test_a_fit_without_contexts_says_how_to_fit_with_contexts(fitted, read):
    sp.tl.rank_genes(fitted)
    with pytest.raises(KeyError, match=r"sp\.tl\.fit_tspg\(\.\.\., context='cell_type'\)"):
        read(fitted)
