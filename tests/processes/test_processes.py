"""Processes that train together find what one finds."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from scipy import sparse
from torch import distributed

import scgan_perturb as sp
from scgan_perturb._recipes import CLASSIFIER_EPOCHS
from scgan_perturb.storage._identity import N_FIRST, N_SPREAD
from tests.processes.fits import (
    ON_DISK,
    OPTIONS,
    STORE,
    fit,
    in_double_precision,
    run_all,
    write_store,
)

if TYPE_CHECKING:
    from pathlib import Path

if not (distributed.is_available() and distributed.is_gloo_available()):
    pytest.skip("this build of torch has no gloo", allow_module_level=True)

RECIPES = ("transport", "paper")
Found = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Found:
    """What a process by itself finds."""
    folder = tmp_path_factory.mktemp("one")
    write_store(folder)
    return run_all(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where two processes write what they find, and keep their states."""
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder) -> list[Found]:
    """What two find: the second is started by the first."""
    write_store(folder)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.processes.fits", "2", str(folder)],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(2)]


def parts(found: Found, name: str) -> Found:
    """What a fit of this name found."""
    return {key.removeprefix(name): v for key, v in found.items() if key.startswith(f"{name} ")}


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_find_what_one_finds_but_for_rounding(one, two, recipe):
    expected, found = parts(one, recipe), parts(two[0], recipe)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_end_with_the_same_bits(two, recipe):
    first, second = (parts(found, recipe) for found in two)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)


def test_they_stop_together_when_the_classifier_has_learnt(one, two):
    whole, *each = (int(found["n_epochs"]) for found in (one, *two))
    assert each == [whole, whole]
    assert whole < CLASSIFIER_EPOCHS


def test_each_computes_on_its_own_share(one, two):
    for name in ("ClassifierTrainer", "TspgTrainer"):
        whole, *shares = (int(found[f"n_samples {name}"]) for found in (one, *two))
        assert sum(shares) == whole
        assert max(shares) - min(shares) <= 1


def test_on_disk_two_find_what_one_finds(one, two):
    expected, *found = (parts(of, "disk") for of in (one, *two))
    for own in found:
        assert own.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(own[name], value, rtol=1e-6, atol=1e-7, err_msg=name)


def test_on_disk_each_reads_its_share(one, two):
    whole, *shares = (int(of["n_read"]) for of in (one, *two))
    assert whole > 5 * sum(ON_DISK.values())
    assert 0 <= sum(shares) - whole <= N_FIRST + N_SPREAD  # all read the few that identify the fit
    assert max(shares) < 0.55 * whole


def test_two_write_a_store_that_is_whole(two, folder):
    kept = ad.read_zarr(folder / STORE)
    assert sparse.issparse(kept.layers["xadv"])
    xadv = kept.layers["xadv"].toarray()
    np.testing.assert_array_equal(xadv, two[0]["disk xadv"])
    predicted = kept.obs["classifier_predicted"].cat.codes
    assert predicted.tolist() == two[0]["disk predicted"].tolist()
    assert kept.obs["tspg_predicted"].notna().all()
    assert sp.get.model(kept).target == "lung"
    with in_double_precision():  # as the processes did
        model_says = sp.get.model(kept).perturb(kept.X)
    np.testing.assert_allclose(xadv, model_says, rtol=1e-5, atol=1e-5)


def test_only_the_first_writes_states_and_speaks(two):
    assert [int(found["n_written"]) for found in two] == [3 + 2, 0]
    assert two[0]["n_lines"] > 0
    assert two[1]["n_lines"] == 0


def test_a_stopped_fit_of_two_goes_on_to_the_same_bits(two):
    whole, resumed = (parts(two[0], name) for name in ("paper", "resumed"))
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


def test_one_takes_up_the_state_of_two(two, folder):
    with in_double_precision():
        found = fit("paper", checkpoint=folder / "state", **OPTIONS)
    for name, value in parts(two[0], "paper").items():
        np.testing.assert_array_equal(found[f"paper{name}"], value, err_msg=name)


def test_processes_that_find_unlike_states_all_stop(two):
    for found in two:
        assert "after different epochs: [2, 0]" in str(found["error"])
        assert "Use a folder that all machines share" in str(found["error"])


def test_a_seed_that_is_drawn_is_that_of_the_first(one, two):
    seeds = [int(found["seed"]) for found in (*two, one)]
    assert seeds[0] == seeds[1] != seeds[2]
