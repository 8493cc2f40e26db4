from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp


def test_lists_hold_the_strongest_genes_of_a_sample(fitted):
    table = sp.get.transition_genes(fitted, 3, obs_names="sample0")
    change = sp.get.perturbation(fitted, "sample0", units="scaled", expected=True).iloc[0]
    up, down = change.nlargest(3), change.nsmallest(3)
    for direction, expected in (("up", up[up > 0]), ("down", down[down < 0])):
        own = table[table["direction"] == direction]
        assert list(own["gene"]) == list(expected.index)
        assert list(own["perturbation"]) == list(expected)
        assert list(own["rank"]) == list(range(1, len(expected) + 1))
    assert set(table["label"]) == {"liver"}


def test_one_held_out_sample_of_each_source_class_is_taken(fitted_by_paper):
    samples = sp.get.transition_genes(fitted_by_paper)["sample"].unique()
    chosen = fitted_by_paper.obs.loc[samples]
    assert sorted(chosen["tissue"]) == ["liver", "thyroid"]
    assert set(chosen["tspg_split"]) == {"test"}


def test_the_seed_decides_the_samples(fitted):
    draws = [tuple(sp.get.transition_genes(fitted, rng=i)["sample"].unique()) for i in range(8)]
    again = tuple(sp.get.transition_genes(fitted, rng=np.random.default_rng(3))["sample"].unique())
    assert len(set(draws)) > 1
    assert again == draws[3]


def test_new_samples_without_a_split_are_drawn_from_all(fitted_by_paper):
    del fitted_by_paper.obs["tspg_split"]
    assert sp.get.transition_genes(fitted_by_paper)["sample"].nunique() == 2


def test_a_gene_that_does_not_move_is_in_no_list(fitted_by_paper):
    fitted = fitted_by_paper
    fitted.layers["xadv"][0] = fitted.X[0]
    fitted.layers["xadv"][0, 4] = fitted.uns["tspg"]["scale_max"][4]
    table = sp.get.transition_genes(fitted, obs_names="sample0")
    assert list(table["gene"]) == ["gene4"]
    assert isinstance(table["direction"].dtype, pd.CategoricalDtype)


def test_of_a_gene_that_moves_by_draw_what_to_expect_is_listed(fitted):
    """The layer, which is one draw, has no part in it."""
    fitted.uns["tspg"]["weights"]["generator.gate"][:] = np.arange(12) == 4
    fitted.layers["xadv"][:] = fitted.X
    table = sp.get.transition_genes(fitted, obs_names="sample0")
    assert list(table["gene"]) == ["gene4"]
    change = sp.get.model(fitted).expected(fitted.X[[0]])[0, 4] - fitted.X[0, 4]
    low, high = (fitted.uns["tspg"][name][4] for name in ("scale_min", "scale_max"))
    np.testing.assert_allclose(table["perturbation"], change / (high - low), rtol=1e-4)


@pytest.mark.filterwarnings("error")
def test_a_sample_that_does_not_move_is_not_listed_and_ranks_stay_whole(fitted_by_paper):
    fitted = fitted_by_paper
    fitted.layers["xadv"][0] = fitted.X[0]
    table = sp.get.transition_genes(fitted, obs_names=["sample0", "sample1"])
    assert set(table["sample"]) == {"sample1"}
    assert table["rank"].dtype.kind == "i"


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        pytest.param({"n_genes": 0}, ValueError, "at least 1, not 0", id="no genes"),
        pytest.param({"obs_names": "nobody"}, KeyError, "'nobody' not found", id="sample"),
        pytest.param({"key": "other"}, KeyError, "fit_tspg", id="no fit"),
    ],
)
def test_bad_input_is_named(fitted, arguments, error, match):
    with pytest.raises(error, match=match):
        sp.get.transition_genes(fitted, **arguments)
