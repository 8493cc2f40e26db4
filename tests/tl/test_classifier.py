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
