"""Fits of one process, or of several that train together, and what the tests want to know of them.

    python -m tests.processes.fits DEVICES FOLDER

is run by each of the processes. They compute in double precision: what differs by more than its
rounding differs in the mathematics.
"""

from __future__ import annotations

import logging
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
import torch
import zarr
from lightning_fabric.utilities.rank_zero import rank_zero_only

import scgan_perturb as sp
from scgan_perturb.data._blocks import dense
from scgan_perturb.data._on_disk import DiskMatrix
from scgan_perturb.data._tensor_scaler import TensorScaler
from scgan_perturb.models import _apply
from scgan_perturb.networks._draws import keys_of
from scgan_perturb.training import _checkpoint
from scgan_perturb.training import _fit as _recipes
from scgan_perturb.training._train_classifier import ClassifierTrainer
from scgan_perturb.training._train_tspg import TspgTrainer
from tests.conftest import fit_tspg, make_adata
from tests.small_parts import hold_few, write_few

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = {"fabric": {"accelerator": "cpu", "precision": "32-true"}}
BATCH = {"batch_size": 15}  # two processes have unequal shares of it
CLASSIFIER = {"max_epochs": 3, **BATCH}
NETWORKS = {ClassifierTrainer: "model", TspgTrainer: "generator"}
RECIPES = {
    "transport": {"target": ["lung", "liver"]},
    "paper": {"target": "lung", "shrinkage": 0.2, "max_epochs": 2, **BATCH},
}
STORE, ON_DISK = "cells.zarr", {"liver": 60, "lung": 40, "thyroid": 20}
Found = dict[str, np.ndarray]


class Stopped(Exception):
    """What ends a fit before its time."""


def run_all(folder: Path, **options: object) -> Found:
    """Fits by both recipes, and fits that were stopped or misled."""
    found: Found = {}
    options = {**OPTIONS, "fabric": {**OPTIONS["fabric"], **options}}
    with pytest.MonkeyPatch.context() as patch, in_double_precision():
        sp.settings.checkpoint_interval = 0.0
        for recipe in RECIPES:
            with patch.context() as inner:
                for trainer, network in NETWORKS.items():
                    count_samples(inner, trainer, network, found)
                found |= fit(recipe, **options)
        lines = listen()
        found |= stop_and_go_on(patch, folder, **options)
        found["n_lines"] = np.array(len(lines))
        found["error"] = np.array(error_of_unlike_states(folder, **options))
        with patch.context() as inner:
            found |= fit_on_disk(inner, folder / STORE, **options)
    found["seed"] = np.array(fit_classifier(rng=None, **options)["params"]["seed"])
    found["n_epochs"] = np.array(len(fit_classifier(max_epochs=None, **options)["history"]))
    return found


@contextmanager
def in_double_precision() -> Iterator[None]:
    """Let all that is float32 be float64."""
    read_ranges, read = TensorScaler.__init__, TensorScaler._tensor

    def read_double_ranges(self, *args):
        read_ranges(self, *args)
        for name in ("_low", "_high", "_span"):
            setattr(self, name, getattr(self, name).double())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TensorScaler, "__init__", read_double_ranges)
        patch.setattr(TensorScaler, "_tensor", lambda *args: read(*args).double())
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        patch.setattr(_apply, "keys_of", lambda x: keys_of(x.to(torch.float32)))
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def fit(recipe: str, name: str = "", **options: object) -> Found:
    """A fit, as arrays by name."""
    adata = make_adata()
    sp.tl.fit_classifier(adata, "tissue", **{**options, **CLASSIFIER})
    fit_tspg(adata, "tissue", recipe=recipe, **RECIPES[recipe], **options)
    fitted = adata.uns["tspg"]
    parts = {
        "xadv": adata.layers["xadv"],
        "history": fitted["history"].to_numpy(),
        "classifier": adata.uns["classifier"]["history"].to_numpy(),
        **{f"weight {key}": weight for key, weight in fitted["weights"].items()},
    }
    return {f"{name or recipe} {part}": value for part, value in parts.items()}


def write_store(folder: Path) -> None:
    """Samples for a fit on disk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata and zarr tell how they will write in future
        make_adata(ON_DISK, kind="csr").write_zarr(folder / STORE)


def fit_on_disk(patch: pytest.MonkeyPatch, path: Path, **options: object) -> Found:
    """A fit of samples in a store that all processes write to, where few samples are held."""
    hold_few(patch, 48, run=4)
    write_few(patch, 16)
    read = count_read(patch)
    group = zarr.open_group(path, mode="r+")
    obs, var = (ad.io.read_elem(group[part]) for part in ("obs", "var"))
    adata = ad.AnnData(ad.io.sparse_dataset(group["X"]), obs=obs, var=var)
    sp.tl.fit_classifier(adata, "tissue", **CLASSIFIER, **options)
    fit_tspg(adata, "tissue", "lung", **options)
    found = {
        "disk xadv": dense(adata.layers["xadv"][:]),
        "disk classifier": adata.uns["classifier"]["history"].to_numpy(),
        "disk predicted": adata.obs["classifier_predicted"].cat.codes.to_numpy(),
        "n_read": np.array(sum(read)),
    }
    if rank_zero_only.rank > 0:
        with pytest.raises(ValueError, match=r"by one process only.*rank_zero_only"):
            sp.tl.perturb(adata, "lung")
    return found


def count_read(patch: pytest.MonkeyPatch) -> list[int]:
    """Count the samples read from now on, but for the few that every process reads.

    These are the samples of the estimates, and the held-out ones of the success.
    """
    read: list[int] = []
    original = DiskMatrix.__getitem__

    def counted(self, rows):
        block = original(self, rows)
        if not (isinstance(rows, slice) and rows.step):  # the look at a few, are they raw counts
            read.append(block.shape[0])
        return block

    def uncounted(function):
        def run(*args):
            n_before = len(read)
            found = function(*args)
            del read[n_before:]
            return found

        return run

    patch.setattr(DiskMatrix, "__getitem__", counted)
    patch.setattr(_recipes.Fit, "rows_in_memory", uncounted(_recipes.Fit.rows_in_memory))
    for name in ("_levels", "_held_out_success"):
        patch.setattr(_recipes, name, uncounted(getattr(_recipes, name)))
    return read


def fit_classifier(**options: object) -> dict:
    """What a classifier's fit writes."""
    adata = make_adata()
    sp.tl.fit_classifier(adata, "tissue", **{**CLASSIFIER, "max_epochs": 2, **options})
    return adata.uns["classifier"]


def count_samples(patch: pytest.MonkeyPatch, trainer: type, network: str, found: Found) -> None:
    """Note how many samples the network is given in the first step."""
    original = trainer.step

    def step(self, *args):
        patch.setattr(trainer, "step", original)
        sizes: list[int] = []
        module = getattr(self, network)
        with module.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0]))):
            losses = original(self, *args)
        found[f"n_samples {trainer.__name__}"] = np.array(sizes[0])
        return losses

    patch.setattr(trainer, "step", step)


def listen() -> list[str]:
    """What the package logs from now on."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("scgan_perturb").addHandler(handler)
    return lines


def stop_and_go_on(patch: pytest.MonkeyPatch, folder: Path, **options: object) -> Found:
    """A fit that ends in its second epoch, and the same call again."""
    written: list[object] = []
    save_file, step, left = _checkpoint.save_file, TspgTrainer.step, iter(range(4))

    def save(*args):
        written.append(args)
        save_file(*args)

    def stop(self, *args):
        if next(left, None) is None:
            raise Stopped
        return step(self, *args)

    patch.setattr(_checkpoint, "save_file", save)
    with patch.context() as inner:
        inner.setattr(TspgTrainer, "step", stop)
        with pytest.raises(Stopped):
            fit("paper", checkpoint=folder / "state", **options)
    resumed = fit("paper", "resumed", checkpoint=folder / "state", **options)
    return {**resumed, "n_written": np.array(len(written))}


def error_of_unlike_states(folder: Path, **options: object) -> str:
    """What is said where each process has a folder of its own, and only the first one writes."""
    own = folder / str(rank_zero_only.rank)
    for _ in range(2):
        try:
            fit_classifier(checkpoint=own, **options)
        except ValueError as error:
            return str(error)
    return ""


def main() -> None:
    """Run, and write a file for each process."""
    torch.set_num_threads(1)
    devices, folder = int(sys.argv[1]), Path(sys.argv[2])
    found = run_all(folder, devices=devices)
    np.savez(folder / f"{rank_zero_only.rank}.npz", **found)


if __name__ == "__main__":
    main()
