"""Perturb samples on disk: the result goes to their file, a part at a time, and can be resumed."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from .._messages import logger
from .._settings import settings
from ..data._blocks import blocks
from ._apply import Perturbed, apply_model, derived_results
from ._file import commit, flush, store_columns, store_fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from lightning_fabric import Fabric

    from .._keys import TspgKeys
    from ..data._on_disk import DiskMatrix
    from ..models._fitted_classifier import FittedClassifier
    from ..models._module_classifier import ModuleClassifier
    from ..models._perturbation_model import PerturbationModel
    from ._file import Group

STRIDE = 8  # blocks of the model that are written at once
MARK = "scgan_perturb"  # on the layer: what is written there
ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}  # as anndata marks one


def perturb_on_disk(
    model: PerturbationModel,
    matrix: DiskMatrix,
    positions: np.ndarray,
    rows: np.ndarray,
    accelerator: str | torch.device,
    judge: FittedClassifier | ModuleClassifier | None = None,
    *,
    file: Group,
    keys: TspgKeys,
    fit: Mapping[str, Any],
    identity: str,
    fabric: Fabric,
) -> Perturbed:
    """Perturb samples and write them to the file, some at a time; what is there already stays.

    While it runs, samples that it has not reached are NaN in the layer, and their class is missing
    in `obs`: so the file tells by itself how far it came. Of several processes each perturbs and
    writes some of the parts, which are chunks of a zarr store.

    Parameters
    ----------
    model, matrix, positions, rows, accelerator, judge
        See :func:`apply_model`.
    file
        The AnnData in the file.
    keys
        Names of the results.
    fit
        The fit, to be stored.
    identity
        What the result depends on: an unfinished one of another identity is begun anew.
    fabric
        The processes.
    """
    from ..models._apply import block_rows  # noqa: PLC0415 (torch takes seconds)

    classes = (model.classifier if judge is None else judge).classes
    stride = STRIDE * block_rows(len(positions))
    results = _Results(file, keys, matrix.shape, stride)
    if fabric.is_global_zero and not results.is_of(identity):
        store_fit(file, keys.uns, fit)
        _delete_derived(file, keys)
        results.begin(classes, identity)
    fabric.barrier()
    left = rows & results.is_missing()
    fabric.barrier()  # nobody writes before all have looked
    parts = list(blocks(matrix.shape[0], stride))[fabric.global_rank :: fabric.world_size]
    if left.sum() < rows.sum():
        logger.info("Going on: %s of %s samples are left.", f"{left.sum():,}", f"{rows.sum():,}")
    with (
        results.saying_how_far(rows),
        tqdm(
            total=sum(int(left[part].sum()) for part in parts),
            desc="perturb",
            unit="sample",
            disable=not (settings.progress_bar and fabric.is_global_zero),
        ) as bar,
    ):
        for part in parts:
            if left[part].any() or not rows[part].any():
                block = matrix[part]
                results.write(
                    part, apply_model(model, block, positions, rows[part], accelerator, judge)
                )
                bar.update(int(left[part].sum()))
    fabric.barrier()
    if fabric.is_global_zero:
        commit(file)
    return Perturbed(
        results.layer,
        pd.Categorical.from_codes(results.codes[:], classes),
        results.probability[:],
    )


class _Results:
    """The layer and the two columns of `obs` in a file."""

    def __init__(self, file: Group, keys: TspgKeys, shape: tuple[int, int], stride: int) -> None:
        self.file, self.keys, self.shape, self.stride = file, keys, shape, stride

    @property
    def layer(self) -> Any:
        return self.file["layers"][self.keys.layer]

    @property
    def codes(self) -> Any:
        return self.file["obs"][self.keys.predicted]["codes"]

    @property
    def probability(self) -> Any:
        return self.file["obs"][self.keys.probability]

    def is_of(self, identity: str) -> bool:
        """Whether what is there is the same result, whole or not."""
        where = {"layers": self.keys.layer, "obs": self.keys.predicted}
        there = all(part in self.file and name in self.file[part] for part, name in where.items())
        return there and self.layer.attrs.get(MARK) == identity

    def is_missing(self) -> np.ndarray:
        """Which samples are not there yet, as a boolean array."""
        return np.isnan(self.probability[:])

    def begin(self, classes: np.ndarray, identity: str) -> None:
        """Make the layer and the columns, all of them missing."""
        layers = self.file.require_group("layers")
        if self.keys.layer in layers:
            self.layer.attrs[MARK] = ""
        n_samples = self.shape[0]
        nothing = pd.Categorical.from_codes(np.full(n_samples, -1), classes)
        store_columns(
            self.file,
            {
                self.keys.predicted: nothing,
                self.keys.probability: np.full(n_samples, np.nan, dtype=np.float32),
            },
            chunk=min(self.stride, n_samples),
        )
        if isinstance(layers, h5py.Group):
            self._make_h5(layers)
        else:
            layers.create_array(
                self.keys.layer,
                shape=self.shape,
                dtype=np.float32,
                chunks=(min(self.stride, n_samples), self.shape[1]),
                fill_value=np.nan,
                overwrite=True,
            )
        self.layer.attrs.update({**ARRAY, MARK: identity})
        commit(self.file)

    def _make_h5(self, layers: h5py.Group) -> None:
        """Allocate the layer at once: what is written later then changes nothing but its values.

        The file is valid at any instant because of that, even if the process is killed. Room that
        was given to an earlier result is used again, for HDF5 does not give it back.
        """
        name = self.keys.layer
        there = layers.get(name)
        if not isinstance(there, h5py.Dataset) or (
            (there.shape, there.dtype, there.chunks) != (self.shape, np.float32, None)
        ):
            if there is not None:
                del layers[name]
            create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            layers.create_dataset(name, self.shape, np.float32, dcpl=create)
        for part in blocks(self.shape[0], self.stride):
            layers[name][part] = np.float32(np.nan)

    def write(self, part: slice, done: Perturbed) -> None:
        """Write some samples; the probability, which tells that they are there, comes last."""
        self.layer[part] = done.expression
        self.codes[part] = cast("pd.Categorical", done.predicted).codes
        flush(self.file)
        self.probability[part] = done.probability
        flush(self.file)

    @contextmanager
    def saying_how_far(self, rows: np.ndarray) -> Iterator[None]:
        """Where the user stops it, say what is there."""
        try:
            yield
        except KeyboardInterrupt:
            n_done = int((rows & ~self.is_missing()).sum())
            logger.info(
                "Stopped: %s of %s samples are in layers/%s of the file. sp.tl.perturb goes on there.",
                f"{n_done:,}",
                f"{rows.sum():,}",
                self.keys.layer,
            )
            raise


def _delete_derived(file: Group, keys: TspgKeys) -> None:
    """Delete what was derived from an earlier layer."""
    uns = ad.io.read_elem(file["uns"]) if "uns" in file else {}
    for part, name in derived_results(keys, uns):
        if part in file and name in file[part]:
            del file[part][name]


def result_identity(model: PerturbationModel, *parts: str) -> str:
    """A hash of what a result depends on."""
    digest = hashlib.blake2b(digest_size=16)
    weights = {**model.weights, **{f"f.{n}": w for n, w in model.classifier.weights.items()}}
    for text in (model.target, *map(str, model.genes), *parts):
        digest.update(f"{text}\0".encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).data)
    for ends in (model.scaler.minimum, model.scaler.maximum):
        digest.update(np.ascontiguousarray(ends).data)
    return digest.hexdigest()
