from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import scgan_perturb as sp
from tests.conftest import MATRIX_KINDS, same_adata


def fit(adata, **kwargs):
    return sp.tl.fit_classifier(adata, "tissue", **{"max_epochs": 2, **kwargs})


def test_it_learns_to_tell_classes_apart(adata):
    fit(adata, max_epochs=20)
    held_out = adata.obs["classifier_split"] == "test"
    assert (adata.obs["classifier_predicted"] == adata.obs["tissue"])[held_out].mean() >= 0.9


def test_it_writes_what_it_says(adata):
    fit(adata)
    written = adata.uns["classifier"]
    assert list(written["classes"]) == ["liver", "lung", "thyroid"]
    assert list(written["genes"]) == list(adata.var_names)
    assert list(written["history"].columns) == [
        "loss",
        "held_out_accuracy",
        "held_out_calibration_error",
    ]
    assert list(written["history"].index) == [1, 2]
    assert {weight.dtype for weight in written["weights"].values()} == {np.dtype(np.float32)}
    assert adata.obs["classifier_split"].value_counts().to_dict() == {"train": 40, "test": 10}


def test_ranges_are_those_of_the_training_samples(adata):
    fit(adata)
    train = adata.X[(adata.obs["classifier_split"] == "train").to_numpy()]
    np.testing.assert_array_equal(adata.uns["classifier"]["scale_min"], train.min(axis=0))
    np.testing.assert_array_equal(adata.uns["classifier"]["scale_max"], train.max(axis=0))


def test_parameters_are_flat_and_complete(adata):
    fit(adata, rng=3)
    assert adata.uns["classifier"]["params"] == {
        "groupby": "tissue",
        "held_out": 0.2,
        "max_epochs": 2,
        "batch_size": 128,
        "seed": 3,
    }


def test_held_out_accuracy_in_the_history_is_that_of_the_last_epoch(adata):
    fit(adata)
    held_out = adata.obs["classifier_split"] == "test"
    right = (adata.obs["classifier_predicted"] == adata.obs["tissue"])[held_out].mean()
    last = adata.uns["classifier"]["history"]["held_out_accuracy"].iloc[-1]
    assert last == pytest.approx(right)


def test_key_added_names_the_results(adata):
    fit(adata, key_added="f2")
    assert "f2" in adata.uns
    assert {"f2_split", "f2_predicted"} <= set(adata.obs)
    assert "classifier" not in adata.uns


def test_copy_leaves_the_original_alone(adata):
    before = adata.copy()
    result = fit(adata, copy=True)
    assert same_adata(adata, before)
    assert "classifier" in result.uns


def test_the_held_out_column_is_obeyed(adata):
    adata.obs["mine"] = np.where(np.arange(adata.n_obs) % 4 == 0, "test", "train")
    fit(adata, held_out="mine")
    assert (adata.obs["classifier_split"] == adata.obs["mine"]).all()


def test_a_class_without_training_samples_is_not_a_class(adata):
    adata.obs["mine"] = np.where(adata.obs["tissue"] == "liver", "test", "train")
    fit(adata, held_out="mine")
    assert list(adata.uns["classifier"]["classes"]) == ["lung", "thyroid"]


def test_nothing_held_out_gives_no_accuracy(adata):
    fit(adata, held_out=0)
    assert adata.uns["classifier"]["history"]["held_out_accuracy"].isna().all()


@pytest.mark.parametrize("kind", MATRIX_KINDS)
def test_every_kind_of_matrix_gives_the_same(build, kind):
    adata, reference = build(kind=kind), build()
    fit(adata)
    fit(reference)
    for name, weight in reference.uns["classifier"]["weights"].items():
        np.testing.assert_allclose(adata.uns["classifier"]["weights"][name], weight, atol=1e-6)


def test_training_leaves_the_global_random_states_alone(adata):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(adata)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_the_log_says_how_right_it_is_and_what_was_written(adata, caplog):
    fit(adata)
    right = (adata.obs["classifier_predicted"] == adata.obs["tissue"])[
        adata.obs["classifier_split"] == "test"
    ]
    assert f"right on {100 * right.mean():.1f} % of 10 held-out samples" in caplog.text
    assert "adata.obs['classifier_split']" in caplog.text


def test_labels_are_encoded_with_the_stored_classes(adata):
    adata.obs["tissue"] = pd.Categorical(adata.obs["tissue"], ["thyroid", "lung", "liver"])
    fit(adata, max_epochs=20)
    assert list(adata.uns["classifier"]["classes"]) == ["liver", "lung", "thyroid"]
    assert (adata.obs["classifier_predicted"] == adata.obs["tissue"]).mean() > 0.9


def hard(build):
    """Classes that overlap, so that f cannot be sure."""
    adata = build({"liver": 240, "lung": 210, "thyroid": 150}, n_genes=60)
    adata.X = adata.X + np.random.default_rng(1).normal(0, 6, adata.shape).astype(np.float32)
    return adata


def test_it_stops_when_it_has_learnt_and_is_as_sure_as_it_is_right(build):
    stopped, long = hard(build), hard(build)
    sp.tl.fit_classifier(stopped, "tissue")
    sp.tl.fit_classifier(long, "tissue", max_epochs=50)
    found, before = stopped.uns["classifier"], long.uns["classifier"]
    assert len(found["history"]) < 25
    assert found["held_out_accuracy"] > before["held_out_accuracy"] - 0.05
    assert found["held_out_calibration_error"] < 0.6 * before["held_out_calibration_error"]


def test_the_weights_of_the_epoch_with_the_lowest_validation_loss_are_used(build):
    adata = hard(build)
    sp.tl.fit_classifier(adata, "tissue")
    written = adata.uns["classifier"]
    used = written["history"].loc[written["history"]["validation_loss"].idxmin()]
    held_out = (adata.obs["classifier_split"] == "test").to_numpy()
    right = (adata.obs["classifier_predicted"] == adata.obs["tissue"])[held_out].mean()
    assert written["held_out_accuracy"] == used["held_out_accuracy"] == pytest.approx(right)
    assert written["held_out_calibration_error"] == used["held_out_calibration_error"]


def test_its_probabilities_are_divided_by_the_temperature(build):
    adata = hard(build)
    sp.tl.fit_classifier(adata, "tissue")
    sp.tl.fit_tspg(adata, "tissue", "lung")
    f, written = sp.get.model(adata).classifier, adata.uns["classifier"]
    held_out = (adata.obs["classifier_split"] == "test").to_numpy()
    probabilities = f.predict_proba(adata.X[held_out])
    right = f.classes[probabilities.argmax(axis=1)] == adata.obs["tissue"].to_numpy()[held_out]
    confidence = probabilities.max(axis=1)
    bins = np.minimum((15 * confidence).astype(int), 14)
    off = sum(abs((right - confidence)[bins == b].sum()) for b in range(15)) / len(right)
    assert written["held_out_calibration_error"] == pytest.approx(off, abs=1e-3)


@pytest.mark.parametrize(
    "class_sizes",
    [
        pytest.param({"liver": 3, "lung": 2}, id="no sample can validate"),
        pytest.param({"liver": 60, "lung": 3, "thyroid": 2}, id="small classes beside a large one"),
    ],
)
def test_small_classes_are_learnt(build, class_sizes):
    adata = build(class_sizes)
    fit(adata, max_epochs=None, held_out=0)
    assert set(adata.uns["classifier"]["classes"]) == set(class_sizes)
    assert (adata.obs["classifier_predicted"] == adata.obs["tissue"]).mean() > 0.9


def test_the_same_seed_gives_the_same_bits_and_leaves_random_states_alone(build):
    once, again = hard(build), hard(build)
    state = torch.get_rng_state()
    for adata in (once, again):
        sp.tl.fit_classifier(adata, "tissue", rng=3)
    found, expected = (adata.uns["classifier"] for adata in (once, again))
    assert found["history"].equals(expected["history"])
    for name, weight in expected["weights"].items():
        np.testing.assert_array_equal(found["weights"][name], weight)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", MATRIX_KINDS)
def test_every_kind_of_matrix_stops_at_the_same_epoch(build, kind):
    adata, reference = build(kind=kind), build()
    for samples in (adata, reference):
        sp.tl.fit_classifier(samples, "tissue")
    found, expected = (samples.uns["classifier"]["history"] for samples in (adata, reference))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_recipe_paper_trains_the_classifier_of_the_paper(build):
    adata, reference = build(), build()
    sp.tl.fit_tspg(adata, "tissue", "lung", recipe=sp.tl.Paper(max_epochs=1))
    sp.tl.fit_classifier(reference, "tissue", max_epochs=50)
    found, expected = (samples.uns["classifier"] for samples in (adata, reference))
    assert found["params"]["max_epochs"] == 50
    assert len(found["history"]) == 50
    for name, weight in expected["weights"].items():
        np.testing.assert_array_equal(found["weights"][name], weight)
