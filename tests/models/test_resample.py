from __future__ import annotations

import numpy as np
import pytest

import scgan_perturb as sp
from scgan_perturb.models._resample import resampled_models
from tests.conftest import make_adata


@pytest.fixture(scope="module")
def large():
    """A fit of classes that are known well, and of one that is not."""
    adata = make_adata({"liver": 200, "lung": 8, "thyroid": 200})
    rng = np.random.default_rng(0)
    means = rng.uniform(3, 6, size=(3, adata.n_vars))
    # Without silent genes, which clipping keeps from moving.
    adata.X = means[adata.obs["tissue"].cat.codes] + rng.normal(0, 0.5, size=adata.shape)
    sp.tl.fit_tspg(adata, "tissue", ["lung", "liver"], held_out=0.25)
    return adata


def widths(adata, target: str) -> np.ndarray:
    adata = adata.copy()
    sp.tl.perturb(adata, target)
    source = adata.obs_names[(adata.obs["tissue"] == "thyroid").to_numpy()][0]
    table = sp.get.transition(adata, source, n_bootstrap=40)
    assert (table["low"] <= table["high"]).all()
    return (table["high"] - table["low"]).to_numpy()


def test_intervals_are_wider_towards_a_class_of_few_samples(large):
    assert np.median(widths(large, "lung")) > 2 * np.median(widths(large, "liver"))


def test_intervals_of_a_mean_are_as_wide_as_its_standard_error_says(large):
    sp.tl.perturb(large, "liver")
    sp.tl.rank_genes(large, n_bootstrap=100)
    table = sp.get.rank_genes_df(large, "thyroid").set_index("gene")
    model = sp.get.model(large)
    train = (large.obs["tspg_split"] == "train").to_numpy()
    sizes = large.obs["tissue"][train].value_counts()
    liver = model.scaler.scale(large.X[train & (large.obs["tissue"] == "liver").to_numpy()])
    # μ_t and (σ_t / σ_s)·μ_s each err by σ_t over the root of their number of samples.
    error = liver.std(axis=0, ddof=1) * np.sqrt(1 / sizes["liver"] + 1 / sizes["thyroid"])
    expected = 2 * 1.96 * error
    found = (table["mean_high"] - table["mean_low"]).loc[model.genes].to_numpy()
    np.testing.assert_allclose(np.median(found / expected), 1, atol=0.15)
    assert table["mean"].between(table["mean_low"], table["mean_high"]).mean() > 0.9


def test_class_statistics_are_of_samples_drawn_with_replacement_within_classes(fitted):
    model = sp.get.model(fitted)
    train = (fitted.obs["tspg_split"] == "train").to_numpy()
    labels = fitted.obs["tissue"].cat.codes.to_numpy().astype(np.int64)[train]
    one, other = resampled_models(model, fitted.X[train], labels, n_models=2, seed=0)
    for weights in (one.weights, other.weights):
        for name in ("share", "location", "scale"):
            assert not np.array_equal(weights[name], model.weights[name])
        # No farther than means of samples of the class can be.
        for place in range(3):
            values = model.scaler.scale(fitted.X[train][labels == place])
            assert (weights["location"][place] <= values.max(axis=0) + 0.1).all()
            present = np.where(values > 0, values, np.inf).min(axis=0)
            assert (weights["location"][place] >= present - 0.1).all()
    for name in ("share", "location", "scale"):
        assert not np.array_equal(one.weights[name], other.weights[name])
    for name in ("shape", "low", "high", "presence", "value", "noise", "covariance", "always"):
        np.testing.assert_array_equal(one.weights[name], model.weights[name])


def test_resampled_statistics_scatter_around_those_of_the_fit(fitted):
    """As a bootstrap of the shares themselves does."""
    model = sp.get.model(fitted)
    train = (fitted.obs["tspg_split"] == "train").to_numpy()
    labels = fitted.obs["tissue"].cat.codes.to_numpy().astype(np.int64)[train]
    models = resampled_models(model, fitted.X[train], labels, n_models=60, seed=0)
    stacks = [[m.weights[name] for name in ("share", "location")] for m in models]
    for name, draws in zip(("share", "location"), zip(*stacks, strict=True), strict=True):
        spread = np.std(draws, axis=0)
        assert np.median(spread) > 0
        centre = np.mean(draws, axis=0)
        assert np.median(np.abs(centre - model.weights[name])) < np.median(spread)


def test_the_seed_decides(fitted):
    name = fitted.obs_names[0]
    first, same, other = (
        sp.get.transition(fitted, name, n_bootstrap=5, seed=seed) for seed in (1, 1, 2)
    )
    assert first.equals(same)
    assert not first["low"].equals(other["low"])


def test_recipe_paper_has_no_intervals(fitted_by_paper):
    with pytest.raises(ValueError, match="Intervals need a fit with recipe='transport'"):
        sp.tl.rank_genes(fitted_by_paper, n_bootstrap=5)
    assert "tspg_rank_genes" not in fitted_by_paper.uns


@pytest.mark.filterwarnings("ignore:12 of the 40 training samples")
def test_a_class_without_training_samples_at_hand_is_named(fitted):
    part = fitted[(fitted.obs["tissue"] != "thyroid").to_numpy()].copy()
    with pytest.raises(ValueError, match="No training sample of 'thyroid'"):
        sp.tl.rank_genes(part, n_bootstrap=5)


def test_samples_that_were_not_part_of_the_fit_have_no_intervals(fitted):
    new = make_adata(seed=3)
    sp.tl.perturb(new, reference=fitted)
    with pytest.raises(KeyError, match="the AnnData that sp.tl.fit_tspg was called on"):
        sp.tl.rank_genes(new, n_bootstrap=5)
