"""Anybody's prediction, judged without a fit: on the cells of the quickstart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb.metrics import diagonal_gaussian_transport, linear_gaussian_transport
from tests.conftest import same_adata

if TYPE_CHECKING:
    import anndata as ad

TARGET = "CD19+ B"
QUESTION = {"groupby": "bulk_labels", "target": TARGET, "held_out": "split"}


@pytest.fixture(scope="module")
def _cells() -> ad.AnnData:
    adata = sp.datasets.pbmc68k()
    rng = np.random.default_rng(0)
    held_out = adata.obs.groupby("bulk_labels", observed=True).sample(frac=0.2, random_state=rng)
    adata.obs["split"] = np.where(adata.obs_names.isin(held_out.index), "test", "train")
    return adata


@pytest.fixture
def cells(_cells) -> ad.AnnData:
    """Blood cells with a split, a fifth held out."""
    return _cells.copy()


def expression(adata: ad.AnnData) -> np.ndarray:
    return adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)


def transported(adata: ad.AnnData, method: str) -> np.ndarray:
    """What a baseline makes of all cells, in the units of the data, not clipped to zero."""
    x, labels = expression(adata), adata.obs["bulk_labels"].astype(str).to_numpy()
    train = (adata.obs["split"] == "train").to_numpy()
    top = x[train].max(axis=0).clip(1e-9)
    if method == "diagonal":
        moved = diagonal_gaussian_transport(x / top, labels, x[train] / top, labels[train], TARGET)
    else:
        source, target = x[train & (labels != TARGET)], x[train & (labels == TARGET)]
        moved = linear_gaussian_transport(x / top, source / top, target / top)
    return (moved * top).astype(np.float32)


def real_cells(adata: ad.AnnData, part: str) -> np.ndarray:
    """For each cell a real one of the target, trained or held out, at random."""
    rows = np.flatnonzero(
        (adata.obs["split"] == part).to_numpy() & (adata.obs["bulk_labels"] == TARGET).to_numpy()
    )
    return expression(adata)[np.random.default_rng(1).choice(rows, adata.n_obs)]


@pytest.mark.parametrize("method", ["diagonal", "linear"])
def test_gaussian_maps_are_told_from_real_cells_and_warned_of(cells, method):
    cells.layers["moved"] = transported(cells, method)
    with pytest.warns(UserWarning, match="A random forest tells perturbed samples from real"):
        sp.tl.evaluate(cells, prediction="moved", **QUESTION, n_bootstrap=50)
    table = sp.get.evaluation_df(cells, key="moved").set_index("method")
    ours, floor = table.loc["this prediction"], table.loc["real target"]
    assert ours["auc_random_forest"] >= 0.95
    assert 0.35 <= floor["auc_random_forest"] <= 0.65
    assert ours["zeros"] < -0.2
    assert ours["detected_genes"] > 0.95
    assert ours["individuality"] > 0.7
    told = f"{method} Gaussian transport"
    assert ours["e_distance"] == pytest.approx(table.loc[told, "e_distance"], abs=0.02)


def test_held_out_real_cells_are_not_told_apart_but_are_no_perturbation(cells):
    cells.layers["real"] = real_cells(cells, "test")
    with pytest.warns(UserWarning, match="^Nothing of the single samples is left"):
        sp.tl.evaluate(cells, prediction="real", **QUESTION, n_bootstrap=50)
    ours = sp.get.evaluation_df(cells, key="real").set_index("method").loc["this prediction"]
    assert 0.35 <= ours["auc_random_forest"] <= 0.65
    assert abs(ours["individuality"]) < 0.1
    assert abs(ours["zeros"]) < 0.02
    assert ours["pearson_delta"] > 0.99


def test_random_training_cells_of_the_target_have_lost_their_individuality(cells):
    cells.layers["real"] = real_cells(cells, "train")
    with pytest.warns(UserWarning, match="Nothing of the single samples is left"):
        sp.tl.evaluate(cells, prediction="real", **QUESTION, n_bootstrap=50)
    ours = sp.get.evaluation_df(cells, key="real").set_index("method").loc["this prediction"]
    assert ours["auc_random_forest"] < 0.7
    assert abs(ours["individuality"]) < 0.1


@pytest.fixture
def predicted(build) -> ad.AnnData:
    """Two tissues of four donors, treated and not, with a layer that somebody predicted."""
    adata = build({"ctrl": 60, "stim": 60}, n_genes=10)
    adata.obs["type"] = pd.Categorical(np.tile(["B", "T", "T"], 40))
    adata.obs["donor"] = pd.Categorical(np.tile(["d1", "d2", "d3", "d4"], 30))
    adata.X[(adata.obs["type"] == "B").to_numpy()] += 1
    adata.obs["split"] = np.where(np.arange(120) % 5 < 2, "test", "train")
    stim = (adata.obs["tissue"] == "stim").to_numpy()
    shift = adata.X[stim].mean(axis=0) - adata.X[~stim].mean(axis=0)
    adata.layers["theirs"] = np.where(stim[:, None], adata.X, (adata.X + shift).clip(0))
    return adata


ASKED = {"groupby": "tissue", "target": "stim", "held_out": "split", "n_bootstrap": 20}


def test_the_table_is_found_by_its_name_and_says_what_was_judged(predicted):
    sp.tl.evaluate(predicted, prediction="theirs", **ASKED, key_added="scgen")
    table = sp.get.evaluation_df(predicted, key="scgen")
    assert list(table["method"])[-2:] == ["this prediction", "real target"]
    assert table["success"].isna().all()  # there is no classifier of a fit
    assert table["success_random_forest"].notna().all()
    assert set(predicted.uns["scgen"]) == {"evaluation", "evaluation_params"}
    sp.pl.evaluation(predicted, key="scgen", show=False)


def test_a_second_call_replaces_the_first_and_what_is_the_users_stays(predicted):
    for _ in range(2):
        sp.tl.evaluate(predicted, prediction="theirs", **ASKED)
    predicted.uns["neighbors"] = {"params": {}}
    before = predicted.copy()
    with pytest.raises(ValueError, match="would overwrite.*another key_added"):
        sp.tl.evaluate(predicted, prediction="theirs", **ASKED, key_added="neighbors")
    assert same_adata(predicted, before)


@pytest.mark.parametrize("kind", ["csr", "float64"])
def test_the_kind_of_matrix_does_not_matter(predicted, kind):
    sp.tl.evaluate(predicted, prediction="theirs", **ASKED)
    convert = sparse.csr_matrix if kind == "csr" else np.float64
    other = predicted.copy()
    other.X, other.layers["theirs"] = convert(predicted.X), convert(predicted.layers["theirs"])
    sp.tl.evaluate(other, prediction="theirs", **ASKED)
    tables = [sp.get.evaluation_df(a, source=None, key="theirs") for a in (predicted, other)]
    pd.testing.assert_frame_equal(*tables, atol=1e-4)


def test_negative_values_are_no_zeros(predicted):
    predicted.layers["theirs"] -= 1
    sp.tl.evaluate(predicted, prediction="theirs", **ASKED)
    ours = sp.get.evaluation_df(predicted, key="theirs").set_index("method").loc["this prediction"]
    test = (predicted.obs["split"] == "test").to_numpy()
    stim = (predicted.obs["tissue"] == "stim").to_numpy()
    expected = (predicted.layers["theirs"][test & ~stim] == 0).mean() - (
        predicted.X[test & stim] == 0
    ).mean()
    assert ours["zeros"] == pytest.approx(expected, abs=1e-6)


def test_genes_that_only_the_prediction_makes_vary_are_seen(predicted):
    predicted.X[:, 0] = 0
    predicted.layers["theirs"][:] = predicted.X  # nothing else tells them apart
    predicted.layers["theirs"][:, 0] = 1 + np.random.default_rng(0).random(120)
    sp.tl.evaluate(predicted, prediction="theirs", **ASKED)
    ours = sp.get.evaluation_df(predicted, key="theirs").set_index("method").loc["this prediction"]
    assert ours["auc_random_forest"] > 0.8


def test_contexts_are_compared_within_and_averaged(predicted):
    sp.tl.evaluate(predicted, prediction="theirs", **ASKED, by="type")
    table = sp.get.evaluation_df(predicted, key="theirs", context=None).set_index(
        ["context", "method"]
    )
    assert set(table.index.get_level_values("context")) == {"all", "B", "T"}
    for kind in ("B", "T"):
        alone = predicted[predicted.obs["type"] == kind].copy()
        sp.tl.evaluate(alone, prediction="theirs", **ASKED)
        here = sp.get.evaluation_df(alone, key="theirs").set_index("method").loc["this prediction"]
        row = table.loc[(kind, "this prediction")]
        assert row["n_samples"] == here["n_samples"]
        assert row["zeros"] == pytest.approx(here["zeros"], abs=1e-6)
        assert row["detected_genes"] == pytest.approx(here["detected_genes"])
        assert row["pearson_delta"] == pytest.approx(here["pearson_delta"], abs=1e-4)
    for metric in ("e_distance", "zeros", "auc_random_forest", "individuality", "direction"):
        parts = [table.loc[(kind, "this prediction"), metric] for kind in ("B", "T")]
        assert table.loc[("all", "this prediction"), metric] == pytest.approx(np.mean(parts))
    assert table.loc[("all", "this prediction"), "n_samples"] == 24


def test_the_mean_of_the_contexts_shifts_is_a_baseline_of_contexts_alone(predicted):
    sp.tl.evaluate(predicted, prediction="theirs", **ASKED)
    name = "mean of the contexts' shifts"
    assert name not in set(sp.get.evaluation_df(predicted, key="theirs")["method"])
    sp.tl.evaluate(predicted, prediction="theirs", **ASKED, by="type")
    table = sp.get.evaluation_df(predicted, key="theirs").set_index("method")
    assert name in table.index
    assert table.loc[name, "pearson_delta_scaled"] == pytest.approx(0, abs=1e-6)


def test_a_context_whose_target_never_trained_is_judged_by_what_the_others_know(predicted):
    held_out = (predicted.obs["type"] == "B") & (predicted.obs["tissue"] == "stim")
    predicted.obs["split"] = np.where(held_out, "test", predicted.obs["split"])
    sp.tl.evaluate(predicted, prediction="theirs", **ASKED, by="type")
    table = sp.get.evaluation_df(predicted, key="theirs", context="B").set_index("method")
    assert np.isfinite(table.loc["mean of the contexts' shifts", "e_distance"])


def test_a_context_with_too_few_samples_is_left_out_by_name(predicted):
    rare = predicted.obs_names[:3]
    predicted.obs["type"] = predicted.obs["type"].cat.add_categories("rare")
    predicted.obs.loc[rare, "type"] = "rare"
    with pytest.warns(UserWarning, match="held out in 'rare': these contexts are left out"):
        sp.tl.evaluate(predicted, prediction="theirs", **ASKED, by="type")
    assert "rare" not in set(sp.get.evaluation_df(predicted, key="theirs", context=None)["context"])


def test_donors_are_the_replicates(predicted):
    by_donor = predicted.obs["donor"].cat.codes.to_numpy()[:, None]
    predicted.X = (predicted.X + by_donor).astype(np.float32)
    predicted.layers["theirs"] = (predicted.layers["theirs"] + by_donor).astype(np.float32)
    widths = []
    for replicate in (None, "donor"):
        sp.tl.evaluate(
            predicted, prediction="theirs", **ASKED | {"n_bootstrap": 200}, replicate=replicate
        )
        ours = sp.get.evaluation_df(predicted, key="theirs").set_index("method")
        ours = ours.loc["this prediction"]
        widths.append(ours["mean_r2_high"] - ours["mean_r2_low"])
    assert widths[1] != pytest.approx(widths[0], rel=0.05)
    assert np.isfinite(widths).all()


def drop_target(adata: ad.AnnData) -> None:
    adata.obs["split"] = np.where(adata.obs["tissue"] == "stim", "train", adata.obs["split"])


def nan_layer(adata: ad.AnnData) -> None:
    adata.layers["theirs"][1] = np.nan


@pytest.mark.parametrize(
    ("spoil", "changed", "error", "match"),
    [
        pytest.param(None, {"prediction": "other"}, KeyError, "'other' not found", id="layer"),
        pytest.param(None, {"groupby": None}, ValueError, "name groupby=", id="no groupby"),
        pytest.param(None, {"target": None}, ValueError, "name target=", id="no target"),
        pytest.param(None, {"held_out": None}, ValueError, "name held_out=", id="no split"),
        pytest.param(None, {"held_out": 0.2}, ValueError, "must be a column", id="share"),
        pytest.param(None, {"held_out": "donor"}, ValueError, "must say 'train'", id="no such split"),
        pytest.param(None, {"target": "x"}, ValueError, "target 'x' is not a class", id="target"),
        pytest.param(None, {"source": "x"}, ValueError, "source 'x' is not a class", id="source"),
        pytest.param(None, {"replicate": "x"}, KeyError, "replicate names a column", id="replicate"),
        pytest.param(drop_target, {}, ValueError, "0 samples of the target 'stim'", id="none held out"),
        pytest.param(nan_layer, {}, ValueError, "NaN or infinite values in 1 of .*source=", id="NaN"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_nothing_written(predicted, spoil, changed, error, match):
    if spoil is not None:
        spoil(predicted)
    before = predicted.copy()
    with pytest.raises(error, match=match):
        sp.tl.evaluate(predicted, **{"prediction": "theirs", **ASKED, **changed})
    assert same_adata(predicted, before)


def test_only_the_sources_named_are_judged_and_the_rest_may_be_missing(build):
    adata = build({"heart": 30, "liver": 30, "lung": 30})
    adata.obs["split"] = np.where(np.arange(90) % 3 == 0, "test", "train")
    adata.layers["theirs"] = np.where(
        (adata.obs["tissue"] == "liver").to_numpy()[:, None], adata.X + 1, np.nan
    ).astype(np.float32)
    sp.tl.evaluate(
        adata, prediction="theirs", groupby="tissue", target="lung", source="liver",
        held_out="split", n_bootstrap=5,
    )  # fmt: skip
    assert set(sp.get.evaluation_df(adata, source=None, key="theirs")["source"]) == {"all", "liver"}
