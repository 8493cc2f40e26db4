from __future__ import annotations

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
