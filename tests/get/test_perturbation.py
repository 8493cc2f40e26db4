from __future__ import annotations

import numpy as np
import pytest

import scgan_perturb as sp


def ends(fitted):
    """The least and the largest value of each gene over the training samples."""
    return [fitted.uns["tspg"][name] for name in ("scale_min", "scale_max")]


def test_perturbation_is_the_difference_in_input_units(fitted):
    found = sp.get.perturbation(fitted)
    np.testing.assert_array_equal(found, fitted.layers["xadv"] - fitted.X)
    assert list(found.index) == list(fitted.obs_names)
    assert list(found.columns) == list(fitted.var_names)


def test_scaled_perturbation_is_a_share_of_the_training_range(fitted):
    low, high = (fitted.uns["tspg"][name] for name in ("scale_min", "scale_max"))
    train = (fitted.obs["tspg_split"] == "train").to_numpy()
    found = sp.get.perturbation(fitted, units="scaled")[train]
    expected = (fitted.layers["xadv"] - fitted.X)[train] / (high - low)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_to_expect_is_the_mean_over_draws_and_not_the_layer(fitted):
    found = sp.get.perturbation(fitted, ["sample3", "sample0"], expected=True)
    rows = fitted.X[[3, 0]]
    np.testing.assert_array_equal(found, sp.get.model(fitted).expected(rows) - rows)
    layer = sp.get.perturbation(fitted, ["sample3", "sample0"])
    assert (found != layer).mean(axis=None) > 0.5


def test_samples_outside_the_source_do_not_move_in_expectation(adata):
    sp.tl.fit_tspg(adata, "tissue", "lung", source="liver")
    found = sp.get.perturbation(adata, expected=True)
    liver = (adata.obs["tissue"] == "liver").to_numpy()
    assert (found[~liver] == 0).all(axis=None)
    assert (found[liver] != 0).any(axis=None)


def test_recipe_paper_draws_nothing(fitted_by_paper):
    layer, mean = (sp.get.perturbation(fitted_by_paper, expected=e) for e in (False, True))
    assert mean.equals(layer)


def test_a_transition_shows_what_to_expect_or_the_layer(fitted):
    genes, span = list(fitted.var_names), np.ptp(ends(fitted), axis=0)
    for expected in (True, False):
        found = sp.get.transition(fitted, "sample3", expected=expected)["perturbation"][genes]
        of_table = sp.get.perturbation(fitted, "sample3", units="scaled", expected=expected)
        np.testing.assert_allclose(found, of_table.iloc[0], atol=1e-6)
        of_table = sp.get.perturbation(fitted, "sample3", expected=expected)
        np.testing.assert_allclose(found, of_table.iloc[0] / span, atol=1e-5)
    default = sp.get.transition(fitted, "sample3")
    assert default.equals(sp.get.transition(fitted, "sample3", expected=True))


@pytest.mark.parametrize("names", ["sample3", ["sample3"], ["sample7", "sample3"]])
def test_samples_come_in_the_order_asked_for(fitted, names):
    found = sp.get.perturbation(fitted, names)
    assert list(found.index) == ([names] if isinstance(names, str) else names)


def test_unknown_units_are_refused(fitted):
    with pytest.raises(ValueError, match="units must be 'input' or 'scaled', not 'log'"):
        sp.get.perturbation(fitted, units="log")


def test_sparse_data_give_the_same(fitted):
    from scipy import sparse

    expected = sp.get.perturbation(fitted)
    fitted.X = sparse.csr_matrix(fitted.X)
    np.testing.assert_allclose(sp.get.perturbation(fitted), expected, atol=1e-6)


def test_a_transition_adds_up_and_is_sorted(fitted):
    table = sp.get.transition(fitted, "sample3")
    np.testing.assert_allclose(table["x"] + table["perturbation"], table["xadv"], atol=1e-6)
    assert table["perturbation"].is_monotonic_decreasing
    assert set(table.index) == set(fitted.var_names)
    assert table["perturbation"].abs().max() <= 1
    assert table[["x", "xadv", "target_mean"]].min(axis=None) >= 0


def test_a_transition_shows_the_scaled_target_mean(fitted):
    written = fitted.uns["tspg"]
    low, high = written["scale_min"], written["scale_max"]
    expected = (written["target_mean"] - low) / (high - low)
    found = sp.get.transition(fitted, "sample3")["target_mean"][list(fitted.var_names)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_perturbed_adata_holds_originals_then_perturbed_samples(fitted):
    both = sp.get.perturbed_adata(fitted)
    perturbed = both[both.obs["tspg_state"] == "perturbed"]
    np.testing.assert_array_equal(both[fitted.obs_names].X, fitted.X)
    np.testing.assert_array_equal(perturbed.X, fitted.layers["xadv"])
    assert perturbed.obs_names[0] == "sample0-perturbed"
    assert (perturbed.obs["tissue"].to_numpy() == fitted.obs["tissue"].to_numpy()).all()
    assert both.obs_names.is_unique
    assert list(both.var_names) == list(fitted.var_names)


def test_perturbed_adata_leaves_out_samples_that_were_not_perturbed(adata):
    sp.tl.fit_classifier(adata, "tissue", max_epochs=1)
    sp.tl.fit_tspg(
        adata,
        "tissue",
        "lung",
        source="liver",
    )
    states = sp.get.perturbed_adata(adata).obs["tspg_state"].value_counts()
    assert states.to_dict() == {"original": 50, "perturbed": 20}


@pytest.mark.filterwarnings("ignore")  # scanpy's own
def test_scanpy_works_on_the_perturbed_adata(fitted):
    import scanpy as sc

    both = sp.get.perturbed_adata(fitted)
    sc.pp.pca(both, n_comps=3)
    sc.tl.rank_genes_groups(both, "tspg_state", method="t-test")
    assert len(sc.get.rank_genes_groups_df(both, "perturbed")) == 12


def test_the_history_is_a_copy(fitted):
    history = sp.get.history(fitted)
    history["held_out_success"] = 0.0
    assert (sp.get.history(fitted)["held_out_success"] > 0).all()
