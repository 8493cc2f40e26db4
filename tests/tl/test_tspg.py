from __future__ import annotations

import sys
import warnings
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import torch
from scipy import sparse

import scgan_perturb as sp
from scgan_perturb._seeds import spawn_seeds
from scgan_perturb.data._blocks import dense
from scgan_perturb.data._reader import Reader
from scgan_perturb.data._rows import ScaledRows
from scgan_perturb.data._training_data import read_training_data
from scgan_perturb.engine._device import open_fabric
from scgan_perturb.estimates._samples import Samples
from scgan_perturb.estimates._transport import estimate_transport
from scgan_perturb.tl import _tspg
from scgan_perturb.training import _roles
from tests.conftest import MATRIX_KINDS, fit_tspg, same_adata
from tests.networks.transports import no_counts
from tests.new_process import finish, start
from tests.stops import counted_steps, stopped_after


@pytest.fixture(autouse=True)
def short_classifier(monkeypatch):
    """Classifiers that recipe "paper" needs train for a few epochs only."""
    monkeypatch.setattr(_tspg, "CLASSIFIER_EPOCHS", 5)


def fit(adata, target="lung", **kwargs):
    return fit_tspg(adata, "tissue", target, **{"max_epochs": 2, **kwargs})


by_each_recipe = pytest.mark.parametrize("recipe", ["transport", "paper"])


@pytest.mark.parametrize(("recipe", "max_epochs"), [("transport", 10), ("paper", 40)])
def test_one_call_perturbs_every_sample_towards_the_target(build, recipe, max_epochs):
    adata = build({"liver": 80, "lung": 80, "thyroid": 80}, n_genes=60)
    fit(adata, recipe=recipe, max_epochs=max_epochs)
    assert adata.layers["xadv"].shape == adata.shape
    assert adata.layers["xadv"].dtype == np.float32
    held_out = (adata.obs["tspg_split"] == "test") & (adata.obs["tissue"] != "lung")
    assert (adata.obs["tspg_predicted"] == "lung")[held_out].mean() > 0.8
    target = adata.X[(adata.obs["tissue"] == "lung").to_numpy()].mean(axis=0)

    def distance(x):
        return np.linalg.norm(x[held_out.to_numpy()].mean(axis=0) - target)

    assert distance(adata.layers["xadv"]) < 0.5 * distance(adata.X)


@by_each_recipe
def test_it_writes_what_it_says(adata, recipe):
    fit(adata, recipe=recipe)
    written = adata.uns["tspg"]
    assert set(written) == {
        "params", "genes", "classes", "scale_min", "scale_max", "target_mean", "target_means",
        "weights", "history", "identity",
    }  # fmt: skip
    assert written["params"]["recipe"] == recipe
    assert list(written["params"]["targets"]) == ["lung"]
    assert {weight.dtype for weight in written["weights"].values()} == {np.dtype(np.float32)}
    history = written["history"]
    if recipe == "paper":
        assert len(history) == 2
    else:
        assert (len(history), list(history)) == (1, ["held_out_success"])
    assert {"tspg_split", "tspg_predicted", "tspg_target_probability"} <= set(adata.obs)
    assert None not in written["params"].values()


def test_target_mean_is_that_of_its_training_samples_in_input_units(adata):
    fit(adata)
    train = (adata.obs["tspg_split"] == "train") & (adata.obs["tissue"] == "lung")
    np.testing.assert_allclose(
        adata.uns["tspg"]["target_mean"], adata.X[train.to_numpy()].mean(axis=0), rtol=1e-5
    )


@by_each_recipe
def test_perturbed_samples_stay_within_the_training_range(adata, recipe):
    fit(adata, recipe=recipe)
    written = adata.uns["tspg"]
    assert (adata.layers["xadv"] >= written["scale_min"]).all()
    assert (adata.layers["xadv"] <= written["scale_max"]).all()


@by_each_recipe
def test_probability_and_class_are_what_f_says_of_the_perturbed_sample(adata, recipe):
    fit(adata, recipe=recipe)
    said = sp.get.model(adata).classifier.predict_proba(adata.layers["xadv"])
    np.testing.assert_allclose(adata.obs["tspg_target_probability"], said[:, 1], atol=1e-6)
    classes = np.array(["liver", "lung", "thyroid"])
    assert (adata.obs["tspg_predicted"] == classes[said.argmax(axis=1)]).all()


@by_each_recipe
def test_genes_outside_the_mask_are_unchanged(adata, recipe):
    adata.var["mine"] = np.arange(adata.n_vars) % 3 == 0
    fit(adata, mask_var="mine", recipe=recipe)
    outside = ~adata.var["mine"].to_numpy()
    np.testing.assert_array_equal(adata.layers["xadv"][:, outside], adata.X[:, outside])
    assert (adata.layers["xadv"] != adata.X)[:, ~outside].any(axis=0).all()
    assert list(adata.uns["tspg"]["genes"]) == list(adata.var_names[~outside])


@by_each_recipe
def test_samples_outside_the_source_are_unchanged(adata, recipe):
    fit(adata, source="liver", recipe=recipe)
    liver = (adata.obs["tissue"] == "liver").to_numpy()
    np.testing.assert_array_equal(adata.layers["xadv"][~liver], adata.X[~liver])
    assert (adata.layers["xadv"] != adata.X)[liver].any()
    assert adata.obs["tspg_predicted"].isna().to_numpy().tolist() == (~liver).tolist()
    assert list(adata.uns["tspg"]["params"]["source"]) == ["liver"]


def test_several_sources_may_be_named(adata):
    fit(adata, source=["liver", "thyroid"])
    assert adata.obs["tspg_predicted"].notna().sum() == 35


def test_a_layer_is_read_and_the_result_has_its_units(adata):
    other = adata.copy()
    adata.layers["eightfold"] = 8 * adata.X  # a power of two, exact in float32
    fit(adata, layer="eightfold", recipe="paper")
    fit(other, recipe="paper")
    np.testing.assert_array_equal(adata.layers["xadv"], 8 * other.layers["xadv"])


def test_draws_are_those_of_the_values_in_the_layer(adata):
    """Random numbers depend on the values: what to expect is only nearly that of other units."""
    other, eightfold = adata.copy(), adata.copy()
    adata.layers["eightfold"] = eightfold.X = 8 * adata.X
    fit(adata, layer="eightfold")
    fit(eightfold)
    fit(other)
    np.testing.assert_array_equal(adata.layers["xadv"], eightfold.layers["xadv"])
    assert (adata.layers["xadv"] != 8 * other.layers["xadv"]).mean() > 0.3
    found = sp.get.model(adata).expected(eightfold.X, n_draws=400)
    expected = 8 * sp.get.model(other).expected(other.X, n_draws=400)
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), rtol=0.05, atol=0.2)


def test_key_added_names_the_results(adata):
    fit(adata, key_added="k")
    assert "k" in adata.uns
    assert "k" in adata.layers
    assert {"k_split", "k_predicted", "k_target_probability"} <= set(adata.obs)
    assert "xadv" not in adata.layers


def test_two_fits_stand_side_by_side(adata):
    fit(adata)
    first = adata.layers["xadv"].copy()
    fit(adata, "liver", key_added="to_liver")
    np.testing.assert_array_equal(adata.layers["xadv"], first)
    assert sp.get.model(adata, key="to_liver").target == "liver"


def test_copy_leaves_the_original_alone(adata):
    before = adata.copy()
    result = fit(adata, copy=True)
    assert same_adata(adata, before)
    assert "xadv" in result.layers


def test_numbers_serve_as_labels(adata):
    adata.obs["tissue"] = adata.obs["tissue"].cat.codes.to_numpy()
    fit(adata, 1)
    assert adata.uns["tspg"]["params"]["target"] == "1"


@by_each_recipe
def test_precision_reaches_classifier_and_generator(build, recipe):
    exact, coarse = build(), build()
    for adata, precision in ((exact, "32-true"), (coarse, "bf16-mixed")):
        fit(adata, recipe=recipe, fabric={"precision": precision})
    for key in ("classifier", "tspg") if recipe == "paper" else ("classifier",):
        losses = [adata.uns[key]["history"].filter(like="loss") for adata in (exact, coarse)]
        assert not losses[0].equals(losses[1])
        np.testing.assert_allclose(*losses, rtol=0.1, atol=0.1)
        weights = coarse.uns[key]["weights"].values()
        assert {weight.dtype for weight in weights} == {np.dtype(np.float32)}
    if recipe == "transport":  # estimated, whatever the precision of the training
        for name, weight in exact.uns["tspg"]["weights"].items():
            found = coarse.uns["tspg"]["weights"][name]
            assert found.dtype == np.float32
            assert name.startswith("classifier.") or np.array_equal(found, weight)


@pytest.mark.parametrize("kind", MATRIX_KINDS)
def test_every_kind_of_matrix_gives_the_same(build, kind):
    adata, reference = build(kind=kind), build()
    before = adata.copy()
    fit(adata)
    fit(reference)
    np.testing.assert_allclose(dense(adata.layers["xadv"]), reference.layers["xadv"], atol=1e-4)
    assert type(adata.X) is type(before.X)


@pytest.mark.parametrize("kind", ["csr", "csc", "csr_array"])
def test_the_layer_of_recipe_transport_is_as_sparse_as_what_it_holds(build, kind):
    adata = build(kind=kind)
    fit(adata)
    layer = adata.layers["xadv"]
    assert sparse.issparse(layer)
    assert layer.format == "csr"
    assert layer.dtype == np.float32
    assert layer.nnz == np.count_nonzero(layer.toarray())
    target = adata.X[(adata.obs["tissue"] == "lung").to_numpy()]
    share, expected = layer.nnz / np.prod(layer.shape), target.nnz / np.prod(target.shape)
    assert share == pytest.approx(expected, abs=0.05)
    again = adata.layers["xadv"].copy()
    sp.tl.perturb(adata)
    assert sparse.issparse(adata.layers["xadv"])
    np.testing.assert_array_equal(adata.layers["xadv"].toarray(), again.toarray())


def test_the_layer_of_recipe_paper_is_dense(build):
    adata = build(kind="csr")
    fit(adata, recipe="paper")
    assert isinstance(adata.layers["xadv"], np.ndarray)


def test_integers_work(adata):
    adata.X = np.rint(adata.X * 3).astype(np.int64)
    fit(adata)
    perturbed = adata.layers["xadv"]
    assert perturbed.dtype == np.float32
    assert (perturbed == np.rint(perturbed)).all()  # counts


@by_each_recipe
def test_the_same_seed_gives_the_same_bits(build, recipe):
    first, same, other = build(), build(), build()
    for adata, rng in ((first, 0), (same, 0), (other, 1)):
        fit(adata, rng=rng, recipe=recipe)
    np.testing.assert_array_equal(first.layers["xadv"], same.layers["xadv"])
    assert not np.array_equal(first.layers["xadv"], other.layers["xadv"])


def test_the_same_generator_gives_the_same_bits(build):
    first, same = build(), build()
    for adata in (first, same):
        fit(adata, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(first.layers["xadv"], same.layers["xadv"])


def test_without_a_seed_each_fit_differs_and_its_seed_is_kept(build):
    first, other, again = build(), build(), build()
    fit(first, rng=None)
    fit(other, rng=None)
    fit(again, rng=first.uns["tspg"]["params"]["seed"])
    assert not np.array_equal(first.layers["xadv"], other.layers["xadv"])
    np.testing.assert_array_equal(first.layers["xadv"], again.layers["xadv"])


def test_a_second_fit_on_the_same_classifier_gives_the_same_bits(adata):
    fit(adata)
    first = adata.layers["xadv"].copy()
    fit(adata)
    np.testing.assert_array_equal(adata.layers["xadv"], first)


def test_a_fitting_classifier_is_reused(adata):
    sp.tl.fit_classifier(adata, "tissue", max_epochs=2, rng=5)
    weights = adata.uns["classifier"]["weights"]
    fit(adata, rng=0)
    assert adata.uns["classifier"]["weights"] is weights
    np.testing.assert_array_equal(
        adata.uns["tspg"]["weights"]["classifier.0.weight"], weights["classifier.0.weight"]
    )
    assert (adata.obs["tspg_split"] == adata.obs["classifier_split"]).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a.layers.__setitem__("log", np.asarray(a.X)) or {"layer": "log"}, "layer None"),
        (lambda a: a.var.__setitem__("m", np.arange(12) > 3) or {"mask_var": "m"}, "other genes"),
        (lambda a: {"held_out": 0.4}, "another split"),
        (lambda a: a.X.__imul__(2) is None or {}, "other values"),
    ],
    ids=["layer", "genes", "split", "values"],
)
def test_a_classifier_that_does_not_fit_is_replaced_with_a_warning(adata, change, reason):
    sp.tl.fit_classifier(adata, "tissue", max_epochs=2)
    old = adata.uns["classifier"]["weights"]
    kwargs = change(adata)
    with pytest.warns(UserWarning, match=reason):
        fit(adata, **kwargs)
    assert adata.uns["classifier"]["weights"] is not old


def test_a_named_classifier_that_does_not_fit_is_an_error(adata):
    sp.tl.fit_classifier(adata, "tissue", max_epochs=2, key_added="mine")
    adata.X *= 2
    before = adata.copy()
    with pytest.raises(ValueError, match="'mine'.*other values.*sp.tl.fit_classifier"):
        fit(adata, classifier="mine")
    assert same_adata(adata, before)


def test_a_source_class_without_training_samples_is_perturbed_all_the_same(adata):
    adata.obs["mine"] = np.where(adata.obs["tissue"] == "liver", "test", "train")
    fit(adata, held_out="mine")
    liver = (adata.obs["tissue"] == "liver").to_numpy()
    assert (adata.layers["xadv"] != adata.X)[liver].any()
    assert adata.obs["tspg_predicted"][liver].notna().all()


@by_each_recipe
def test_history_success_is_that_of_the_held_out_samples(adata, recipe):
    fit(adata, max_epochs=20, recipe=recipe)
    held_out = (adata.obs["tspg_split"] == "test") & (adata.obs["tissue"] != "lung")
    success = (adata.obs["tspg_predicted"] == "lung")[held_out].mean()
    assert sp.get.history(adata)["held_out_success"].iloc[-1] == pytest.approx(success)


def test_the_log_says_how_often_f_is_convinced_and_what_was_written(adata, caplog):
    fit(adata)
    held_out = (adata.obs["tspg_split"] == "test") & (adata.obs["tissue"] != "lung")
    success = 100 * (adata.obs["tspg_predicted"] == "lung")[held_out].mean()
    assert f"calls {success:.1f} % of 7 held-out samples" in caplog.text
    for name in ("layers['xadv']", "obs['tspg_split']", "uns['tspg']", "uns['classifier']"):
        assert f"adata.{name}" in caplog.text


def test_shrinkage_reaches_the_draws(build):
    plain, shrunk = build(), build()
    fit(plain, recipe="paper")
    fit(shrunk, recipe="paper", shrinkage="ledoit-wolf")
    assert not np.array_equal(plain.layers["xadv"], shrunk.layers["xadv"])


@pytest.mark.parametrize(
    ("recipe", "option", "value"),
    [
        ("transport", "sparsity", 0.75),
        ("paper", "weight_gan", 75.0),
        ("paper", "weight_adv", 75.0),
        ("paper", "weight_norm", 75.0),
        ("paper", "weight_td", 75.0),
        ("paper", "kappa", 75.0),
    ],
)
def test_each_number_reaches_the_training(build, recipe, option, value):
    plain, changed = build(), build()
    fit(plain, recipe=recipe, **{option: 0.0})
    fit(changed, recipe=recipe, **{option: value})
    assert not np.array_equal(plain.layers["xadv"], changed.layers["xadv"])


@by_each_recipe
def test_an_interrupted_fit_leaves_no_trace(adata, recipe):
    before = adata.copy()
    with counted_steps() as steps:
        fit(adata.copy(), recipe=recipe)
    with stopped_after(len(steps) - 1, KeyboardInterrupt):  # in the last epoch
        fit(adata, recipe=recipe)
    assert same_adata(adata, before)


def test_a_view_is_made_actual_with_a_warning(adata):
    view = adata[adata.obs["tissue"] != "thyroid"]
    with pytest.warns(UserWarning, match="is a view of another AnnData") as warned:
        sp.tl.fit_tspg(view, "tissue", "lung")
    assert [w.filename for w in warned] == [__file__]
    assert not view.is_view
    assert "xadv" in view.layers
    assert "xadv" not in adata.layers


def test_a_quiet_fit_warns_of_nothing(adata):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(adata)


@by_each_recipe
def test_held_out_samples_leave_no_trace_in_the_model(adata, recipe):
    """Replacing what is held out by other values changes no weight, range or mean."""
    adata.obs["mine"] = np.where(np.arange(adata.n_obs) % 4 == 0, "test", "train")
    other = adata.copy()
    held_out = (adata.obs["mine"] == "test").to_numpy()
    other.X[held_out] = other.X[~held_out][: held_out.sum()]
    for data in (adata, other):
        fit(data, held_out="mine", source=["liver", "thyroid"], recipe=recipe)
    for name, weight in adata.uns["tspg"]["weights"].items():
        np.testing.assert_array_equal(weight, other.uns["tspg"]["weights"][name])
    for name in ("scale_min", "scale_max", "target_mean"):
        np.testing.assert_array_equal(adata.uns["tspg"][name], other.uns["tspg"][name])


def test_the_batch_size_reaches_the_training(build):
    plain, changed = build(), build()
    fit(plain, recipe="paper")
    fit(changed, recipe="paper", batch_size=8)
    assert not np.array_equal(plain.layers["xadv"], changed.layers["xadv"])


def test_the_discriminator_sees_the_target_as_real(adata):
    reader = Reader(adata, None, groupby="tissue")
    data = read_training_data(reader, held_out=0.2, seed=0, fabric=open_fabric("cpu"))
    roles = _roles.assign_roles(data, "lung", "liver")
    train = np.flatnonzero(data.is_train)
    of = adata.obs["tissue"].to_numpy()
    assert set(roles.train) == {i for i in train if of[i] == "liver"}
    assert set(roles.real) == {i for i in train if of[i] in ("liver", "lung")}
    assert [data.classes[place] for place in roles.targets] == ["lung"]
    assert set(roles.held_out) == {i for i in np.flatnonzero(~data.is_train) if of[i] == "liver"}


def test_statistics_are_those_of_the_final_weights(adata):
    fit(adata, recipe="paper", max_epochs=3)  # all 40 training samples are one batch
    written = adata.uns["tspg"]
    low, high, weights = written["scale_min"], written["scale_max"], written["weights"]
    train = adata.X[(adata.obs["tspg_split"] == "train").to_numpy()]
    hidden = (train - low) / (high - low) @ weights["generator.0.weight"].T
    hidden += weights["generator.0.bias"]
    np.testing.assert_allclose(weights["generator.1.running_mean"], hidden.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(
        weights["generator.1.running_var"], hidden.var(axis=0, ddof=1), atol=1e-5
    )


def test_new_labels_on_the_same_samples_ask_for_a_new_classifier(adata):
    fit(adata)
    swapped = {"liver": "lung", "lung": "liver", "thyroid": "thyroid"}
    adata.obs["tissue"] = adata.obs["tissue"].astype(str).map(swapped).astype("category")
    with pytest.warns(UserWarning, match="does not fit"):
        fit(adata)


def test_a_split_is_not_lent_to_other_labels(adata):
    fit(adata)
    held_out = adata.obs_names[adata.obs["classifier_split"] == "test"]
    adata.obs["tissue"] = adata.obs["tissue"].astype(str)
    adata.obs.loc[held_out[:6], "tissue"] = "rare"
    with pytest.warns(UserWarning, match="other classes"):
        fit(adata, "rare")
    assert adata.uns["tspg"]["params"]["target"] == "rare"


def test_values_that_keep_their_range_are_still_other_values(adata):
    fit(adata)
    train = np.flatnonzero(adata.obs["tspg_split"] == "train")
    adata.X[train] = adata.X[np.roll(train, 7)]
    with pytest.warns(UserWarning, match="other values"):
        fit(adata)


def test_an_embedding_of_an_earlier_fit_goes(fitted):
    sp.tl.embed(fitted, method="pca")
    fit(fitted, "liver")
    assert "tspg_pca" not in fitted.obsm
    with pytest.raises(KeyError, match=r"sp\.tl\.embed"):
        sp.pl.pca(fitted)


def test_classes_without_training_samples_are_named(adata, caplog):
    adata.obs["mine"] = np.where(adata.obs["tissue"] == "liver", "test", "train")
    fit(adata, held_out="mine")
    assert "No training samples, so no class of the classifier: 'liver'" in caplog.text


def test_labels_with_odd_characters_survive_a_file(build, tmp_path):
    import anndata as ad

    adata = build({"a/b": 12, "": 12, "_ü $x$": 12})
    fit(adata, "_ü $x$", source=["a/b", ""])
    sp.tl.embed(adata, method="pca")
    sp.pl.pca(adata, return_fig=True).savefig(tmp_path / "pca.png")
    sp.pl.perturbation_heatmap(adata, "sample0", return_fig=True).savefig(tmp_path / "heat.png")
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    sp.tl.perturb(back)
    rows = adata.obs["tspg_predicted"].notna().to_numpy()
    np.testing.assert_array_equal(back.layers["xadv"][rows], adata.layers["xadv"][rows])


def test_of_many_targets_the_first_is_applied(fitted_many):
    written = fitted_many.uns["tspg"]
    assert list(written["params"]["targets"]) == ["lung", "liver"]
    assert written["params"]["target"] == sp.get.model(fitted_many).target == "lung"
    said = sp.get.model(fitted_many).classifier.predict_proba(fitted_many.layers["xadv"])
    np.testing.assert_allclose(fitted_many.obs["tspg_target_probability"], said[:, 1], atol=1e-6)


def test_the_means_of_many_targets_are_in_their_order(fitted_many):
    written = fitted_many.uns["tspg"]
    train = fitted_many[fitted_many.obs["tspg_split"] == "train"]
    for target, mean in zip(["lung", "liver"], written["target_means"], strict=True):
        expected = train.X[(train.obs["tissue"] == target).to_numpy()].mean(axis=0)
        np.testing.assert_allclose(mean, expected, rtol=1e-5)
    np.testing.assert_array_equal(written["target_mean"], written["target_means"][0])


@pytest.mark.parametrize("target", [np.array(["thyroid", "lung"]), ("thyroid", "lung", "thyroid")])
def test_targets_keep_their_order_and_count_once(adata, target):
    fit(adata, target, max_epochs=1)
    assert sp.get.model(adata).targets == ("thyroid", "lung")
    assert adata.uns["tspg"]["target_means"].shape == (2, 12)


def test_no_target_means_all_that_have_samples_enough(adata):
    adata.obs["mine"] = "train"
    of = adata.obs["tissue"].to_numpy()
    adata.obs.loc[adata.obs_names[of == "thyroid"][1:], "mine"] = "test"
    fit(adata, None, held_out="mine")
    assert sp.get.model(adata).targets == ("liver", "lung")
    assert list(adata.uns["tspg"]["classes"]) == ["liver", "lung", "thyroid"]
    assert adata.obs["tspg_predicted"].notna().all()


@pytest.mark.filterwarnings("ignore:.* genes are constant")
def test_without_a_class_of_two_samples_there_is_no_target(adata):
    adata.obs["mine"] = "test"
    adata.obs.loc[["sample0", "sample49"], "mine"] = "train"
    with pytest.raises(ValueError, match="no target: name a label with at least 2 training"):
        fit(adata, None, held_out="mine")


def test_one_model_perturbs_towards_all_of_its_targets(build):
    adata = build({"liver": 80, "lung": 80, "thyroid": 80}, n_genes=60)
    fit(adata, None, max_epochs=10)
    held_out = (adata.obs["tspg_split"] == "test").to_numpy()
    for target in ("liver", "lung", "thyroid"):
        sp.tl.perturb(adata, target)
        is_target = (adata.obs["tissue"] == target).to_numpy()
        others = held_out & ~is_target
        assert (adata.obs["tspg_predicted"] == target)[others].mean() > 0.8
        real, before, after = (
            x.mean(axis=0)
            for x in (adata.X[is_target], adata.X[others], adata.layers["xadv"][others])
        )
        assert np.linalg.norm(after - real) < 0.5 * np.linalg.norm(before - real)


def test_a_source_may_be_one_of_many_targets(adata):
    fit(adata, ["liver", "lung"], source=["liver", "lung"])
    source = (adata.obs["tissue"] != "thyroid").to_numpy()
    np.testing.assert_array_equal(adata.layers["xadv"][~source], adata.X[~source])
    reader = Reader(adata, None, groupby="tissue")
    data = read_training_data(reader, held_out=0.2, seed=0, fabric=open_fabric("cpu"))
    roles = _roles.assign_roles(data, ["liver", "lung"], ["liver", "lung"])
    labels = adata.obs["tissue"].to_numpy()
    assert set(labels[roles.train]) == set(labels[roles.held_out]) == {"liver", "lung"}
    assert roles.perturbed.tolist() == source.tolist()


def test_the_log_names_the_first_of_many_targets(adata, caplog):
    fit(adata, ["lung", "liver"], max_epochs=1)
    assert "Perturbation to lung, the first of 2 targets: the classifier calls" in caplog.text
    assert "of 7 held-out samples of other classes lung" in caplog.text


def test_a_sample_is_perturbed_alike_alone_and_in_company(fitted):
    model = sp.get.model(fitted)
    alone = np.concatenate([model.perturb(row[None]) for row in fitted.X[::5]])
    np.testing.assert_array_equal(alone, model.perturb(fitted.X)[::5])
    np.testing.assert_array_equal(alone, fitted.layers["xadv"][::5])


def test_a_sample_that_the_classifier_calls_the_target_hardly_moves(fitted):
    scaled = sp.get.perturbation(fitted, units="scaled").abs().mean(axis=1)
    model = sp.get.model(fitted)
    sure = model.classifier.predict_proba(fitted.X)[:, model.target_class] > 0.95
    assert sure.sum() > 5
    assert scaled[sure].max() < 0.02 < scaled[~sure].median()


def test_every_gene_order_gives_the_same_perturbation(fitted_many):
    model = sp.get.model(fitted_many)
    shuffled = fitted_many[:, ::-1].copy()
    for target in model.targets:
        sp.tl.perturb(shuffled, target)
        np.testing.assert_array_equal(
            shuffled.layers["xadv"][:, ::-1], model.towards(target).perturb(fitted_many.X)
        )


def test_a_sparse_fit_leaves_genes_alone(build):
    adata = build({"liver": 60, "lung": 60, "thyroid": 60}, n_genes=40)
    # Half of the genes do not differ between the tissues.
    noise = 0.2 * np.random.default_rng(0).random(adata.shape, dtype=np.float32)
    adata.X = noise + 1
    adata.X[:, :20] += adata.obs["tissue"].cat.codes.to_numpy(np.float32)[:, None]
    adata.X[0], adata.X[1] = 0, 5
    adata.obs["part"] = "train"
    adata.obs.loc[adata.obs_names[2::4], "part"] = "test"
    fit(adata, sparsity=0.5, held_out="part")
    others = (adata.obs["tissue"] != "lung").to_numpy()
    moved = (adata.layers["xadv"] != adata.X)[others].any(axis=0)
    assert moved.tolist() == [True] * 20 + [False] * 20
    assert adata.uns["tspg"]["params"]["sparsity"] == 0.5


def test_the_estimates_are_of_all_training_samples(adata):
    fit(adata)
    train = np.flatnonzero(adata.obs["tspg_split"] == "train")
    codes = adata.obs["tissue"].cat.codes.to_numpy(np.int64)[train]
    model = sp.get.model(adata)
    rows = ScaledRows(adata.X, train, model.scaler, torch.device("cpu"))
    samples = Samples(rows, torch.from_numpy(codes))
    expected = estimate_transport(samples, no_counts(rows.n_genes, 3), 3, spawn_seeds(0).tspg)
    for part in (expected.marginals, expected.latent):
        for name, values in vars(part).items():
            np.testing.assert_allclose(model.weights[name], values, atol=1e-5)


def test_draws_depend_on_the_seed_of_the_fit(fitted):
    model = sp.get.model(fitted)
    other = replace(model, params={**model.params, "seed": 1})
    sources = (fitted.obs["tissue"] != "lung").to_numpy()
    differs = (other.perturb(fitted.X) != model.perturb(fitted.X)).any(axis=1)
    assert differs[sources].mean() > 0.8


N_GENES = 10_000
SQUARE_BYTES = 4 * N_GENES**2


def fit_and_measure(result) -> None:
    import resource

    adata = ad.AnnData(np.random.default_rng(0).random((60, N_GENES), dtype=np.float32))
    adata.obs["y"] = ["a", "b"] * 30
    sp.tl.fit_classifier(adata, "y", max_epochs=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sp.tl.fit_tspg(adata, "y", "b")
    assert np.isfinite(adata.layers["xadv"]).all()
    result.write_text(str(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)))


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kibibytes on Linux only")
def test_a_fit_at_10000_genes_stays_below_one_genes_by_genes_array(tmp_path):
    finish(start(fit_and_measure, tmp_path / "grown"))
    # Estimates and networks need some 0.1 GB; the float32 array would be 0.4 GB.
    assert int((tmp_path / "grown").read_text()) < SQUARE_BYTES / 2
