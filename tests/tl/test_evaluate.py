from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import scgan_perturb as sp
from scgan_perturb._seeds import spawn_seeds
from scgan_perturb.evaluation._verdict import findings, short_verdict
from scgan_perturb.metrics import (
    class_mean_shift,
    diagonal_gaussian_transport,
    energy_distance,
    full_gaussian_transport,
    global_mean_shift,
    individuality,
    linear_gaussian_transport,
    matched_target_sample,
    mean_r2,
    mmd,
    nearest_target_sample,
    quantile_transport,
    two_sample_auc,
    variance_r2,
)
from tests.conftest import N_TREES, make_adata, same_adata

METHODS = [
    "untouched source",
    "global mean shift",
    "class mean shift",
    "diagonal Gaussian transport",
    "full Gaussian transport",
    "quantile transport",
    "linear Gaussian transport",
    "matched target sample",
    "nearest target sample",
    "random target sample",
    "this model",
    "real target",
]
GAUSSIAN = {"diagonal Gaussian transport", "full Gaussian transport"}
TOLD = {"class mean shift", *GAUSSIAN, "quantile transport"}
KEYS = ("evaluation", "evaluation_params")


@pytest.fixture(scope="module")
def _evaluated(few_trees) -> ad.AnnData:
    bar, sp.settings.progress_bar = sp.settings.progress_bar, False
    adata = make_adata({"liver": 30, "lung": 30, "thyroid": 24})
    sp.tl.fit_tspg(
        adata,
        "tissue",
        "lung",
        held_out=0.3,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sp.tl.evaluate(adata, n_bootstrap=20)
    sp.settings.progress_bar = bar
    return adata


@pytest.fixture
def evaluated(_evaluated) -> ad.AnnData:
    """A small AnnData with a fit towards lung that was evaluated: 9 held out of it, 16 others."""
    return _evaluated.copy()


@pytest.fixture
def unjudged(evaluated) -> ad.AnnData:
    for key in KEYS:
        del evaluated.uns["tspg"][key]
    return evaluated


def fit(adata: ad.AnnData, held_out: float | str = 0.2, **options) -> None:
    """A quick fit towards lung."""
    sp.tl.fit_classifier(adata, "tissue", max_epochs=3, held_out=held_out)
    sp.tl.fit_tspg(adata, "tissue", "lung", held_out=held_out, **options)


def parts(adata: ad.AnnData) -> dict[str, np.ndarray]:
    """Scaled samples and labels, by hand, in the order of their names."""
    adata = adata[np.argsort(adata.obs_names)]
    scale_min, scale_max = adata.uns["tspg"]["scale_min"], adata.uns["tspg"]["scale_max"]
    x, moved = (
        ((m - scale_min) / (scale_max - scale_min)).clip(-1, 2).astype(float)
        for m in (adata.X, adata.layers["xadv"])
    )
    labels = adata.obs["tissue"].astype(str).to_numpy(dtype=object)
    test, lung = (adata.obs["tspg_split"] == "test").to_numpy(), labels == "lung"
    return {
        "x": x[test & ~lung],
        "labels": labels[test & ~lung],
        "moved": moved[test & ~lung],
        "real": x[test & lung],
        "real_moved": moved[test & lung],
        "source": x[~test & ~lung],
        "target": x[~test & lung],
        "train": x[~test],
        "train_labels": labels[~test],
    }


def is_source(adata: ad.AnnData) -> np.ndarray:
    """Which samples are perturbed and judged."""
    return ((adata.obs["tspg_split"] == "test") & (adata.obs["tissue"] != "lung")).to_numpy()


def by_hand(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    told = (p["x"], p["labels"], p["train"], p["train_labels"], "lung")
    return {
        "untouched source": p["x"],
        "global mean shift": global_mean_shift(p["x"], p["source"], p["target"]),
        "class mean shift": class_mean_shift(*told),
        "diagonal Gaussian transport": diagonal_gaussian_transport(*told),
        "full Gaussian transport": full_gaussian_transport(*told),
        "linear Gaussian transport": linear_gaussian_transport(p["x"], p["source"], p["target"]),
        "matched target sample": matched_target_sample(p["x"], p["target"]),
        "nearest target sample": nearest_target_sample(p["x"], p["target"]),
        "this model": p["moved"],
        "real target": p["target"],
    }


def test_rows_and_columns_are_in_order(evaluated):
    table = sp.get.evaluation_df(evaluated, source=None)
    first = ["target", "context", "is_unseen", "source", "method", "is_told_label", "n_samples"]
    assert list(table.columns[:7]) == first
    assert set(table["context"]) == {"all"}
    expected = [(source, method) for source in ("all", "liver", "thyroid") for method in METHODS]
    assert list(zip(table["source"], table["method"], strict=True)) == [
        *expected,
        ("lung", "this model"),
    ]
    assert set(table["target"]) == {"lung"}
    assert set(table.loc[table["is_told_label"], "method"]) == TOLD
    assert list(table["n_samples"].iloc[[0, 12, 24, 36, 11]]) == [16, 9, 7, 9, 21]


def test_measures_agree_with_those_of_the_public_functions(evaluated):
    p, table = parts(evaluated), sp.get.evaluation_df(evaluated).set_index("method")
    width = evaluated.uns["tspg"]["evaluation_params"]["mmd_width"]
    for method, moved in by_hand(p).items():
        row = table.loc[method]
        assert row["e_distance"] == pytest.approx(energy_distance(moved, p["real"]), abs=1e-5)
        assert row["mmd"] == pytest.approx(mmd(moved, p["real"], width=width), abs=1e-5)
        assert row["mean_r2"] == pytest.approx(mean_r2(moved, p["real"]), abs=1e-5)
        assert row["variance_r2"] == pytest.approx(variance_r2(moved, p["real"]), abs=1e-4)
        if method != "real target":
            change = np.abs(moved - p["x"]).mean()
            assert row["perturbation"] == pytest.approx(change, abs=1e-6)
    assert np.isnan(table.loc["real target", "perturbation"])
    assert mmd(p["moved"], p["real"]) == pytest.approx(table.loc["this model", "mmd"], abs=1e-5)


def test_single_sources_are_measured_alone(evaluated):
    p, chosen = parts(evaluated), parts(evaluated)["labels"] == "liver"
    table = sp.get.evaluation_df(evaluated, source="liver").set_index("method")
    moved = by_hand(p)["diagonal Gaussian transport"][chosen]
    row = table.loc["diagonal Gaussian transport"]
    assert row["e_distance"] == pytest.approx(energy_distance(moved, p["real"]), abs=1e-5)
    assert row["perturbation"] == pytest.approx(np.abs(moved - p["x"][chosen]).mean(), abs=1e-6)
    pooled = sp.get.evaluation_df(evaluated).set_index("method")
    assert table.loc["real target", "mmd_low"] == pooled.loc["real target", "mmd_low"]


def test_random_target_samples_are_training_samples_of_the_target(evaluated):
    table = sp.get.evaluation_df(evaluated).set_index("method")
    p = parts(evaluated)
    row = table.loc["random target sample"]
    assert row["success_random_forest"] == 1
    nearest = np.abs(nearest_target_sample(p["x"], p["target"]) - p["x"]).mean()
    assert row["perturbation"] > nearest


def test_success_is_what_the_classifiers_say(evaluated):
    p, table = parts(evaluated), sp.get.evaluation_df(evaluated).set_index("method")
    held_out = (evaluated.obs["tspg_split"] == "test") & (evaluated.obs["tissue"] != "lung")
    said = (evaluated.obs["tspg_predicted"][held_out] == "lung").mean()
    assert table.loc["this model", "success"] == pytest.approx(said)
    linear = LogisticRegression(max_iter=1000).fit(p["train"], p["train_labels"])
    for method, moved in by_hand(p).items():
        judged = p["real"] if method == "real target" else moved
        expected = (linear.predict(judged) == "lung").mean()
        assert table.loc[method, "success_logistic_regression"] == pytest.approx(expected)


def test_the_random_forest_is_independent_and_seeded(evaluated):
    p, table = parts(evaluated), sp.get.evaluation_df(evaluated).set_index("method")
    forest = RandomForestClassifier(N_TREES, random_state=5).fit(p["train"], p["train_labels"])
    found = table["success_random_forest"]
    assert found["untouched source"] == pytest.approx(
        (forest.predict(p["x"]) == "lung").mean(), abs=0.15
    )
    assert found["real target"] >= 0.8


@pytest.mark.parametrize("classifier", ["random_forest", "logistic_regression"])
def test_two_sample_tests_are_those_of_the_public_function(evaluated, classifier):
    p, table = parts(evaluated), sp.get.evaluation_df(evaluated).set_index("method")
    for method, moved in by_hand(p).items():
        found = table.loc[method, f"auc_{classifier}"]
        both = moved.astype(np.float32), p["real"].astype(np.float32)
        expected = two_sample_auc(*both, classifier=classifier, rng=spawn_seeds(0).evaluate)
        assert found == pytest.approx(expected, abs=1e-6)


def test_individuality_is_that_of_the_public_function(evaluated):
    p, table = parts(evaluated), sp.get.evaluation_df(evaluated).set_index("method")
    for method, moved in by_hand(p).items():
        if method != "real target":
            expected = individuality(p["x"], moved, p["labels"])
            assert table.loc[method, "individuality"] == pytest.approx(expected, abs=0.02)
    assert table.loc["untouched source", "individuality"] == 1
    assert table.loc["random target sample", "individuality"] < 0.5


def test_zeros_are_counted_in_the_units_of_the_data(evaluated):
    test = evaluated[evaluated.obs["tspg_split"] == "test"]
    lung = test.obs["tissue"] == "lung"
    real, untouched, ours = test.X[lung], test.X[~lung], test.layers["xadv"][~lung]
    table = sp.get.evaluation_df(evaluated).set_index("method")
    for method, samples in (("untouched source", untouched), ("this model", ours)):
        row = table.loc[method]
        assert row["zeros"] == pytest.approx((samples == 0).mean() - (real == 0).mean(), abs=1e-6)
        counts, of_real = ((m > 0).sum(axis=1) for m in (samples, real))
        more = (counts[:, None] > of_real).mean() + (counts[:, None] == of_real).mean() / 2
        assert row["detected_genes"] == pytest.approx(more)
        assert row["n_detected_genes"] == np.median(counts)


def test_samples_of_the_target_are_reported_on_a_row_of_their_own(evaluated):
    p, table = parts(evaluated), sp.get.evaluation_df(evaluated, source="lung")
    (row,) = table.to_dict("records")
    assert row["method"] == "this model"
    assert row["perturbation"] == pytest.approx(
        np.abs(p["real_moved"] - p["real"]).mean(), abs=1e-6
    )
    assert (
        row["success"]
        == (
            evaluated.obs.query("tspg_split == 'test' and tissue == 'lung'")["tspg_predicted"]
            == "lung"
        ).mean()
    )
    assert np.isnan(row["e_distance"])  # of samples from themselves


def test_intervals_lie_about_their_values(evaluated):
    table = sp.get.evaluation_df(evaluated, source=None).iloc[:-1]
    for name in ("e_distance", "e_distance_pca", "mmd", "mean_r2", "variance_r2", "zeros"):
        assert (table[f"{name}_low"] < table[name]).all()
        assert (table[f"{name}_high"] > table[name]).all()
    for name in ("auc_random_forest", "auc_logistic_regression", "detected_genes"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[f"{name}_high"] >= table[name]).all()
    assert table.filter(like="r2").max().max() <= 1


def test_no_resampling_gives_no_intervals(unjudged):
    sp.tl.evaluate(unjudged, n_bootstrap=0)
    table = sp.get.evaluation_df(unjudged)
    assert table.filter(regex="_(low|high)$").isna().all(axis=None)
    assert table["e_distance"].notna().all()


def test_the_seed_decides(evaluated):
    tables = [sp.get.evaluation_df(evaluated, source=None)]
    for rng in (0, 1):
        sp.tl.evaluate(evaluated, n_bootstrap=20, rng=rng)
        tables.append(sp.get.evaluation_df(evaluated, source=None))
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0]["e_distance_low"].equals(tables[2]["e_distance_low"])
    assert evaluated.uns["tspg"]["evaluation_params"]["seed"] == 1


def test_many_samples_are_drawn_from(unjudged):
    sp.tl.evaluate(unjudged, n_bootstrap=5, max_samples=6)
    table = sp.get.evaluation_df(unjudged).set_index("method")
    assert set(table.drop(index="real target")["n_samples"]) == {6}
    assert unjudged.uns["tspg"]["evaluation_params"]["n_real"] == 6


def test_the_distance_of_a_perfect_model_is_that_of_the_best(unjudged):
    p, model = parts(unjudged), sp.get.model(unjudged)
    rows = np.sort(unjudged.obs_names[is_source(unjudged)])
    moved = model.scaler.inverse(by_hand(p)["diagonal Gaussian transport"], p["x"])
    unjudged.layers["xadv"][unjudged.obs_names.get_indexer(rows)] = moved
    sp.tl.evaluate(unjudged, n_bootstrap=5)
    table = sp.get.evaluation_df(unjudged).set_index("method")
    measured = ["e_distance", "mmd", "mean_r2", "perturbation", "e_distance_high", "success"]
    np.testing.assert_allclose(
        table.loc["this model", measured].astype(float),
        table.loc["diagonal Gaussian transport", measured].astype(float),
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", ["csr", "float64"])
def test_the_kind_of_matrix_does_not_matter(evaluated, build, kind):
    other = evaluated.copy()
    other.X = build({"liver": 30, "lung": 30, "thyroid": 24}, kind=kind).X
    sp.tl.evaluate(other, n_bootstrap=20)
    pd.testing.assert_frame_equal(
        sp.get.evaluation_df(other), sp.get.evaluation_df(evaluated), atol=1e-4
    )


def test_only_sources_of_the_fit_are_judged():
    adata = make_adata({"liver": 20, "lung": 20, "thyroid": 20})
    fit(adata, held_out=0.3, source="liver")
    sp.tl.evaluate(adata, n_bootstrap=5)
    table = sp.get.evaluation_df(adata, source=None)
    assert set(table["source"]) == {"all", "liver"}
    p = parts(adata)
    chosen = p["train"][p["train_labels"] == "liver"]
    moved = global_mean_shift(p["x"][p["labels"] == "liver"], chosen, p["target"])
    found = table.set_index(["source", "method"]).loc[("all", "global mean shift"), "e_distance"]
    assert found == pytest.approx(energy_distance(moved, p["real"]), abs=1e-5)


def test_a_class_without_training_samples_is_moved_by_the_global_shift():
    adata = make_adata({"heart": 6, "liver": 20, "lung": 20, "thyroid": 20})
    heart = (adata.obs["tissue"] == "heart").to_numpy()
    rest = np.arange(len(adata)) % 3 == 0
    adata.obs["part"] = np.where(heart | rest, "test", "train")
    fit(adata, held_out="part")
    sp.tl.evaluate(adata, n_bootstrap=5)
    rows = sp.get.evaluation_df(adata, source="heart").set_index("method")["e_distance"]
    assert rows[list(TOLD)].to_numpy() == pytest.approx(rows["global mean shift"])
    distances = ["e_distance", "mmd", "mean_r2", "variance_r2", "auc_random_forest", "marginals"]
    assert sp.get.evaluation_df(adata)[distances].notna().all(axis=None)


def test_sources_of_one_sample_have_no_distances():
    adata = make_adata({"heart": 4, "liver": 20, "lung": 20})
    fit(adata, held_out=0.25)
    sp.tl.evaluate(adata, n_bootstrap=5)
    row = sp.get.evaluation_df(adata, source="heart").set_index("method").loc["this model"]
    assert row["n_samples"] == 1
    assert row[["e_distance", "mmd", "variance_r2", "mean_r2_low"]].isna().all()
    assert row[["mean_r2", "success", "perturbation"]].notna().all()


@pytest.mark.filterwarnings("ignore:1 of 12 genes are constant")
def test_genes_constant_in_training_are_left_out():
    adata = make_adata({"liver": 20, "lung": 20})
    adata.X[:, 3] = 2
    fit(adata)
    sp.tl.evaluate(adata, n_bootstrap=5)
    table = sp.get.evaluation_df(adata).set_index("method")
    held_out = (adata.obs["tspg_split"] == "test") & (adata.obs["tissue"] == "liver")
    change = sp.get.perturbation(adata, adata.obs_names[held_out]).drop(columns="gene3")
    width = np.delete(sp.get.model(adata).scaler.maximum - sp.get.model(adata).scaler.minimum, 3)
    expected = (change.abs() / width).to_numpy().mean()
    assert table.loc["this model", "perturbation"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore")  # AnnData's own, on its file formats
def test_the_table_survives_a_file(evaluated, kind, tmp_path):
    path = tmp_path / f"evaluated.{kind}"
    getattr(evaluated, f"write_{kind}")(path)
    back = getattr(ad, f"read_{kind}")(path)
    pd.testing.assert_frame_equal(
        sp.get.evaluation_df(back, source=None), sp.get.evaluation_df(evaluated, source=None)
    )
    params = {name: float(value) for name, value in back.uns["tspg"]["evaluation_params"].items()}
    assert params == evaluated.uns["tspg"]["evaluation_params"]
    sp.tl.evaluate(back, n_bootstrap=20)
    pd.testing.assert_frame_equal(sp.get.evaluation_df(back), sp.get.evaluation_df(evaluated))


def test_a_copy_is_returned_and_the_original_left_alone(unjudged):
    before = unjudged.copy()
    copied = sp.tl.evaluate(unjudged, n_bootstrap=5, copy=True)
    assert set(KEYS) <= set(copied.uns["tspg"])
    assert same_adata(unjudged, before)


def test_another_fit_has_an_evaluation_of_its_own(unjudged):
    unjudged.uns["k"], unjudged.layers["k"] = unjudged.uns["tspg"], unjudged.layers["xadv"]
    for name in ("split", "predicted"):
        unjudged.obs[f"k_{name}"] = unjudged.obs[f"tspg_{name}"]
    sp.tl.evaluate(unjudged, n_bootstrap=5, key="k")
    assert not set(KEYS) & set(unjudged.uns["tspg"])
    assert len(sp.get.evaluation_df(unjudged, key="k")) == len(METHODS)


def test_perturbing_again_drops_what_was_measured_before(evaluated):
    sp.tl.perturb(evaluated)
    assert not set(KEYS) & set(evaluated.uns["tspg"])


def test_new_samples_do_not_inherit_the_evaluation(evaluated, build):
    new = build(seed=3)
    sp.tl.perturb(new, reference=evaluated)
    assert not set(KEYS) & set(new.uns["tspg"])
    assert set(KEYS) <= set(evaluated.uns["tspg"])


def test_the_log_says_where_the_model_stands(unjudged, caplog):
    sp.tl.evaluate(unjudged, n_bootstrap=5)
    table = sp.get.evaluation_df(unjudged).set_index("method")
    baselines = table.drop(index=["this model", "real target"])
    baselines = baselines.drop(index=[name for name in METHODS if name.endswith("target sample")])
    assert "16 held-out samples against 9 held-out real ones" in caplog.text
    assert f"this model {table.loc['this model', 'e_distance']:.2g}" in caplog.text
    assert f"best baseline {baselines['e_distance'].idxmin()} (" in caplog.text
    assert "real against real" in caplog.text


@pytest.mark.filterwarnings("default")
def test_better_baselines_are_warned_of_by_name_at_the_users_line(unjudged):
    unjudged.layers["xadv"] = unjudged.X.copy()
    with pytest.warns(UserWarning, match="Plain baselines come nearer") as caught:
        sp.tl.evaluate(unjudged, n_bootstrap=5)
    (warning,) = caught
    text = str(warning.message)
    assert warning.filename == __file__
    assert text.startswith(("A random forest tells", "A linear classifier tells"))
    assert "diagonal Gaussian transport (" in text
    assert ", told the label)" in text
    ours, copies = text.split("Training samples of 'lung'")
    assert "target sample" not in ours
    assert "random target sample (" in copies
    assert "no perturbation" in copies


@pytest.mark.filterwarnings("error", "ignore:The '.*' option is deprecated")  # pandas 3, of anndata
def test_a_model_that_beats_all_is_not_warned_of(unjudged):
    # Each sample keeps its rank and gets the values of held-out lung itself.
    p, model = parts(unjudged), sp.get.model(unjudged)
    known = np.vstack([p["train"][p["train_labels"] != "lung"], p["real"]])
    labels = np.append(p["train_labels"][p["train_labels"] != "lung"], ["lung"] * len(p["real"]))
    moved = quantile_transport(p["x"], p["labels"], known, labels, "lung")
    names = np.sort(unjudged.obs_names[is_source(unjudged)])
    rows = unjudged.obs_names.get_indexer(names)
    unjudged.layers["xadv"][rows] = model.scaler.inverse(moved, p["x"])
    sp.tl.evaluate(unjudged)


@pytest.mark.filterwarnings("error", "ignore:The '.*' option is deprecated")  # pandas 3, of anndata
@pytest.mark.parametrize(
    ("model", "floor"), [(-0.01, -0.05), (0.0, -0.05), (0.6, 0.6), (-0.01, np.nan)]
)
def test_a_model_as_near_as_real_samples_is_not_warned_of_though_a_baseline_is_nearer(
    evaluated, model, floor
):
    assert findings(with_distances(evaluated, model, floor)) == []


@pytest.mark.parametrize(("model", "floor"), [(0.01, -0.05), (0.61, 0.6), (0.01, np.nan)])
def test_a_model_less_near_than_real_samples_is_warned_of(evaluated, model, floor):
    (found,) = findings(with_distances(evaluated, model, floor))
    assert "global mean shift (-0.20)" in found


def with_distances(evaluated: ad.AnnData, model: float, floor: float) -> pd.DataFrame:
    """An evaluation with these E-distances, -0.2 of one baseline, and 9 of all others."""
    table = evaluated.uns["tspg"]["evaluation"].copy()
    found = {"this model": model, "real target": floor, "global mean shift": -0.2}
    table["e_distance"] = table["method"].map(found).where(table["method"].isin(found), 9.0)
    for test in ("auc_random_forest", "auc_logistic_regression"):
        table[[test, f"{test}_low"]] = 0.5
    return table.assign(individuality=0.9)


def test_the_worst_comes_first_and_no_way_to_real_is_spoken_of(evaluated, caplog):
    table = with_distances(evaluated, 0.01, -0.05)
    ours = table["method"] == "this model"
    table.loc[ours, ["auc_random_forest", "auc_random_forest_low"]] = 1.0, 0.97
    table.loc[ours, ["detected_genes", "n_detected_genes", "individuality"]] = 1.0, 531, 0.01
    table.loc[table["method"] == "real target", "n_detected_genes"] = 236
    forest, individual, nearer = findings(table)
    assert forest == (
        "A random forest tells perturbed samples from real 'lung' ones in 100 % of pairs (real from "
        "real: 50 %; chance: 50 %): they express 531 genes, real ones 236 (medians)."
    )
    assert individual.startswith("Nothing of the single samples is left (individuality 0.01;")
    assert nearer.startswith("Plain baselines come nearer")
    assert short_verdict(table) == "told from real in 100 % of pairs"


@pytest.mark.parametrize(
    ("value", "low", "floor", "told"),
    [
        (0.9, 0.8, 0.5, True),
        (0.9, 0.45, 0.5, False),
        (0.6, 0.55, 0.5, False),
        (0.8, 0.7, 0.85, False),
    ],
)
def test_a_test_counts_where_it_is_right_more_often_than_by_chance_and_with_real_samples(
    evaluated, value, low, floor, told
):
    table = with_distances(evaluated, -0.01, 0.0)
    ours, real = table["method"] == "this model", table["method"] == "real target"
    table.loc[ours, ["auc_random_forest", "auc_random_forest_low"]] = value, low
    table.loc[real, "auc_random_forest"] = floor
    assert bool(findings(table)) == told


def test_the_order_of_rows_does_not_matter(evaluated):
    shuffled = evaluated[np.random.default_rng(0).permutation(evaluated.n_obs)].copy()
    sp.tl.evaluate(shuffled, n_bootstrap=20)
    pd.testing.assert_frame_equal(
        sp.get.evaluation_df(shuffled, source=None), sp.get.evaluation_df(evaluated, source=None)
    )


def drop_held_out(label: str, left: int = 0):
    def spoil(adata: ad.AnnData) -> None:
        test = (adata.obs["tspg_split"] == "test") & (adata.obs["tissue"] == label)
        gone = adata.obs_names[test][left:]
        adata._inplace_subset_obs(~adata.obs_names.isin(gone))

    return spoil


def only_lung(adata: ad.AnnData) -> None:
    train = adata.obs["tspg_split"] == "train"
    adata._inplace_subset_obs((adata.obs["tissue"] == "lung") | train)


def only_held_out(adata: ad.AnnData) -> None:
    adata._inplace_subset_obs(adata.obs["tspg_split"] == "test")


def rename(adata: ad.AnnData) -> None:
    adata.obs["tissue"] = adata.obs["tissue"].cat.rename_categories({"liver": "all"})
    del adata.uns["tspg"]["identity"]  # as if it had been called so from the start


@pytest.mark.filterwarnings("ignore:.* training samples of fit .* are not in adata")
@pytest.mark.parametrize(
    ("spoil", "arguments", "error", "match"),
    [
        pytest.param(lambda a: a.uns.pop("tspg"), {}, KeyError, "fit_tspg", id="no fit"),
        pytest.param(lambda a: a.layers.pop("xadv"), {}, KeyError, "tl.perturb", id="no layer"),
        pytest.param(lambda a: a.obs.pop("tspg_split"), {}, KeyError, "held out", id="no split"),
        pytest.param(lambda a: a.obs.pop("tissue"), {}, KeyError, "tissue", id="no labels"),
        pytest.param(
            drop_held_out("lung", 1), {}, ValueError, "1 samples of the target 'lung'.*held_out=", id="target"
        ),
        pytest.param(
            only_lung, {}, ValueError, "0 samples of the source classes were.*held_out=", id="sources"
        ),
        pytest.param(
            only_held_out, {}, ValueError, "0 training samples of the target.*all samples", id="training"
        ),
        pytest.param(rename, {}, ValueError, "called 'all'", id="label called all"),
        pytest.param(lambda a: None, {"target": "lung"}, ValueError, "target: for the layer of another", id="fit"),
        pytest.param(lambda a: None, {"by": "donor"}, KeyError, "by names a column", id="by"),
        pytest.param(lambda a: None, {"n_bootstrap": -1}, ValueError, "n_bootstrap", id="bootstrap"),
        pytest.param(lambda a: None, {"max_samples": 1}, ValueError, "max_samples", id="samples"),
        pytest.param(lambda a: None, {"rng": -1}, ValueError, "rng", id="seed"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_nothing_written(unjudged, spoil, arguments, error, match):
    spoil(unjudged)
    before = unjudged.copy()
    with pytest.raises(error, match=match):
        sp.tl.evaluate(unjudged, **arguments)
    assert same_adata(unjudged, before)
