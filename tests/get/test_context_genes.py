from __future__ import annotations

import numpy as np
import pytest

import scgan_perturb as sp

# Made up. Contexts are B, T and NK, of which NK never trained and does not count.
EFFECTS = {
    "gene0": (0.5, 0.4, 0.0),  # up in all
    "gene1": (-0.3, -0.2, 0.3),  # down in all
    "gene2": (0.1, 0.05, 0.9),  # up in B, just
    "gene3": (0.09, -0.7, 0.9),  # down in T
    "gene4": (0.6, -0.6, 0.1),  # not the same way
    "gene5": (0.09, 0.09, 0.9),  # in none
}
KINDS = {"gene0": "all", "gene1": "all", "gene2": "one", "gene3": "one", "gene4": "some"}


@pytest.fixture
def made_up(ranked_in_contexts):
    stored = ranked_in_contexts.uns["tspg_rank_genes"]["contexts"]
    stored["scores"] = np.zeros((3, 12), dtype=np.float32)
    for gene, effects in EFFECTS.items():
        stored["scores"][:, list(stored["names"]).index(gene)] = effects
    return ranked_in_contexts


def test_genes_move_in_all_contexts_in_some_in_one_or_in_none(made_up):
    table = sp.get.context_genes_df(made_up).set_index("gene")
    assert table["moves"].to_dict() == {gene: KINDS.get(gene, "none") for gene in table.index}
    assert table.loc["gene4", ["n_up", "n_down"]].tolist() == [1, 1]
    assert table.loc["gene1", ["n_up", "n_down"]].tolist() == [0, 2]
    assert table["strongest"][["gene0", "gene3"]].tolist() == ["B", "CD4+/CD8+ T"]
    np.testing.assert_allclose(table["mean"][["gene0", "gene3"]], [0.45, -0.305], atol=1e-6)


def test_genes_of_all_contexts_come_first_then_those_of_few(made_up):
    order = list(sp.get.context_genes_df(made_up)["gene"][:5])
    assert order == ["gene0", "gene1", "gene4", "gene3", "gene2"]


@pytest.mark.parametrize(("min_mean", "n_genes"), [(0.04, 6), (0.1, 5), (0.45, 3), (1, 0)])
def test_the_threshold_decides_what_moves(made_up, min_mean, n_genes):
    table = sp.get.context_genes_df(made_up, min_mean=min_mean)
    assert (table["moves"] != "none").sum() == n_genes


def test_an_effect_whose_interval_holds_0_does_not_count(made_up):
    stored = made_up.uns["tspg_rank_genes"]["contexts"]
    stored["scores_low"], stored["scores_high"] = stored["scores"] - 0.35, stored["scores"] + 0.35
    table = sp.get.context_genes_df(made_up).set_index("gene")
    moves = table["moves"][table["moves"] != "none"]
    assert moves.to_dict() == {"gene0": "all", "gene3": "one", "gene4": "some"}


def test_if_no_context_trained_all_of_them_count(made_up):
    made_up.uns["tspg_rank_genes"]["contexts"]["n_target"][:] = 0
    table = sp.get.context_genes_df(made_up).set_index("gene")
    assert (table["n_up"] + table["n_down"])[["gene0", "gene3", "gene4"]].tolist() == [2, 2, 3]


def test_what_a_treatment_does_in_all_types_and_in_one_is_found(ranked_in_contexts):
    moves = sp.get.context_genes_df(ranked_in_contexts, min_mean=0.15).set_index("gene")["moves"]
    assert moves["gene0"] == "all"
    assert moves["gene1"] == "one"


@pytest.mark.parametrize("min_mean", [-0.1, 1.5, "a lot"])
def test_a_threshold_that_is_none_is_named(ranked_in_contexts, min_mean):
    with pytest.raises(ValueError, match="min_mean"):
        sp.get.context_genes_df(ranked_in_contexts, min_mean=min_mean)
