"""Perturb samples on disk, into their own file, a part at a time; a stopped run can be resumed."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from .._digests import digest
from .._messages import logger
from .._settings import settings
from ..data._blocks import blocks, dense
from ._apply import Perturbed, apply_model, derived_results
from ._file import commit, flush, store_columns, store_fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning_fabric import Fabric

    from .._keys import TspgKeys
    from ..data._matrix import ExpressionMatrix
    from ..models._perturbation_model import PerturbationModel
    from ._apply import Job
    from ._file import Group

STRIDE = 8  # blocks of the model in one write
IDENTITY_ATTRIBUTE = "scgan_perturb"  # of the layer: the identity of the result
ARRAY_ENCODING = {"encoding-type": "array", "encoding-version": "0.2.0"}  # of anndata


def perturb_on_disk(
    job: Job, matrix: ExpressionMatrix, *, file: Group, keys: TspgKeys, fabric: Fabric
) -> Perturbed:
    """Perturb samples and write them to the file, a part at a time; keep the finished parts.

    Samples not yet perturbed have NaN as probability and no predicted class, so the file itself
    records the progress. Several processes share the parts, which are chunks of a zarr store.
    """
    from ..models._apply import block_rows  # noqa: PLC0415 (torch takes seconds)

    model, rows = job.model, job.rows
    stride = STRIDE * block_rows(len(job.positions))
    results = _Results(file, keys, matrix.shape, stride)
    identity = _result_identity(model, digest(job.context_codes), *job.depends_on)
    if fabric.is_global_zero and not results.is_of(identity):
        store_fit(file, keys.uns, job.fit)
        _delete_derived(file, keys)
        results.create(job.classes, identity)
    fabric.barrier()
    remaining = rows & results.is_missing()
    fabric.barrier()  # every process reads the progress before one writes
    parts = list(blocks(matrix.shape[0], stride))[fabric.global_rank :: fabric.world_size]
    if remaining.sum() < rows.sum():
        logger.info("Resuming: %s of %s samples remain.", f"{remaining.sum():,}", f"{rows.sum():,}")
    with (
        results.progress_logged_on_stop(rows),
        tqdm(
            total=sum(int(remaining[part].sum()) for part in parts),
            desc="perturb",
            unit="sample",
            disable=not (settings.progress_bar and fabric.is_global_zero),
        ) as bar,
    ):
        for part in parts:
            if remaining[part].any() or not rows[part].any():
                perturbed = apply_model(
                    model,
                    matrix[part],
                    job.positions,
                    rows[part],
                    job.context_codes[part],
                    job.device,
                    job.classifier,
                )
                results.write(part, perturbed)
                bar.update(int(remaining[part].sum()))
    fabric.barrier()
    if fabric.is_global_zero:
        commit(file)
    predicted = pd.Categorical.from_codes(results.codes[:], job.classes)
    return Perturbed(results.layer, predicted, results.probability[:])


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
        """Whether the file holds this result, finished or not."""
        required = {"layers": self.keys.layer, "obs": self.keys.predicted}
        exists = all(group in self.file and k in self.file[group] for group, k in required.items())
        return exists and self.layer.attrs.get(IDENTITY_ATTRIBUTE) == identity

    def is_missing(self) -> np.ndarray:
        """Boolean mask of the samples that are not perturbed yet."""
        return np.isnan(self.probability[:])

    def create(self, classes: np.ndarray, identity: str) -> None:
        """Create the layer and the columns, all values missing."""
        layers = self.file.require_group("layers")
        if self.keys.layer in layers:
            self.layer.attrs[IDENTITY_ATTRIBUTE] = ""
        n_samples = self.shape[0]
        chunk = min(self.stride, n_samples)
        columns = {
            self.keys.predicted: pd.Categorical.from_codes(np.full(n_samples, -1), classes),
            self.keys.probability: np.full(n_samples, np.nan, dtype=np.float32),
        }
        store_columns(self.file, columns, chunk=chunk)
        if isinstance(layers, h5py.Group):
            self._create_h5(layers)
        else:
            layers.create_array(
                self.keys.layer,
                shape=self.shape,
                dtype=np.float32,
                chunks=(chunk, self.shape[1]),
                fill_value=np.nan,
                overwrite=True,
            )
        self.layer.attrs.update({**ARRAY_ENCODING, IDENTITY_ATTRIBUTE: identity})
        commit(self.file)

    def _create_h5(self, layers: h5py.Group) -> None:
        """Allocate the whole layer, so that later writes change values only.

        The file stays valid if the process is killed. HDF5 does not free the space of an earlier
        result of the same shape, so that space is used again.
        """
        name = self.keys.layer
        old = layers.get(name)
        if not isinstance(old, h5py.Dataset) or (
            (old.shape, old.dtype, old.chunks) != (self.shape, np.float32, None)
        ):
            if old is not None:
                del layers[name]
            create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            layers.create_dataset(name, self.shape, np.float32, dcpl=create)
        for part in blocks(self.shape[0], self.stride):
            layers[name][part] = np.float32(np.nan)

    def write(self, part: slice, perturbed: Perturbed) -> None:
        """Write a part. The probability comes last: it marks the samples as finished."""
        self.layer[part] = dense(perturbed.expression)
        self.codes[part] = cast("pd.Categorical", perturbed.predicted).codes
        flush(self.file)
        self.probability[part] = perturbed.probability
        flush(self.file)

    @contextmanager
    def progress_logged_on_stop(self, rows: np.ndarray) -> Iterator[None]:
        """Log how many samples are finished if the user stops the run."""
        try:
            yield
        except KeyboardInterrupt:
            n_done = int((rows & ~self.is_missing()).sum())
            logger.info(
                "Stopped: %s of %s samples are in layers/%s of the file. "
                "Call sp.tl.perturb again to resume.",
                f"{n_done:,}",
                f"{rows.sum():,}",
                self.keys.layer,
            )
            raise


def _delete_derived(file: Group, keys: TspgKeys) -> None:
    """Delete results derived from an earlier layer."""
    uns = ad.io.read_elem(file["uns"]) if "uns" in file else {}
    for part, name in derived_results(keys, uns):
        if part in file and name in file[part]:
            del file[part][name]


def _result_identity(model: PerturbationModel, *parts: str) -> str:
    """A hash of the model and the other inputs of a result."""
    total = hashlib.blake2b(digest_size=16)
    weights = {**model.weights, **{f"f.{n}": w for n, w in model.classifier.weights.items()}}
    for text in (model.target, *map(str, model.genes), *parts):
        total.update(f"{text}\0".encode())
    for name in sorted(weights):
        total.update(name.encode())
        total.update(np.ascontiguousarray(weights[name]).data)
    for limits in (model.scaler.minimum, model.scaler.maximum):
        total.update(np.ascontiguousarray(limits).data)
    return total.hexdigest()
