"""Perturb samples on disk, into their own file, a part at a time; a stopped run can be resumed."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import anndata as ad
import numpy as np
import pandas as pd
from tqdm import tqdm

from .._digests import digest
from .._messages import logger
from .._settings import settings
from ..data._blocks import blocks
from ..engine._processes import gather_objects
from ._apply import Perturbed, apply_model, derived_results, keeps_zeros
from ._file import commit, flush, store_columns, store_fit
from ._layer_on_disk import IDENTITY_ATTRIBUTE, CsrLayer, DenseLayer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning_fabric import Fabric

    from .._keys import TspgKeys
    from ..data._matrix import ExpressionMatrix
    from ..models._perturbation_model import PerturbationModel
    from ._apply import Job
    from ._file import Group

STRIDE = 8  # blocks of the model in one write


def perturb_on_disk(
    job: Job, matrix: ExpressionMatrix, *, file: Group, keys: TspgKeys, fabric: Fabric
) -> Perturbed:
    """Perturb samples and write them to the file, a part at a time; keep the finished parts.

    Samples not yet perturbed have NaN as probability and no predicted class, so the file itself
    records the progress. Several processes share the parts, which are chunks of a dense layer in a
    zarr store; the first process writes all parts of a CSR layer.
    """
    rows = job.rows
    results = _open_results(job, matrix, file, keys, fabric)
    parts = results.unfinished(rows)
    n_left = sum(int(rows[part].sum()) for part in parts)
    fabric.barrier()  # every process reads the progress before one writes
    if n_left < rows.sum():
        logger.info("Resuming: %s of %s samples remain.", f"{n_left:,}", f"{rows.sum():,}")
    if parts and fabric.is_global_zero:
        results.layer.resume(parts[0].start)

    def perturbed(part: slice) -> Perturbed:
        return apply_model(
            job.model,
            matrix[part],
            job.positions,
            rows[part],
            job.context_codes[part],
            job.device,
            job.classifier,
        )

    with (
        results.progress_logged_on_stop(rows),
        tqdm(
            total=n_left,
            desc="perturb",
            unit="sample",
            disable=not (settings.progress_bar and fabric.is_global_zero),
        ) as bar,
    ):
        for turn in blocks(len(parts), fabric.world_size):
            of_process = parts[turn][fabric.global_rank : fabric.global_rank + 1]
            found = [(part, perturbed(part)) for part in of_process]
            for part, result in _to_write(found, results.layer, fabric):
                results.write(part, result)
            bar.update(sum(int(rows[part].sum()) for part in parts[turn]))
    fabric.barrier()
    if fabric.is_global_zero:
        results.layer.finish()
        commit(file)
    fabric.barrier()
    predicted = pd.Categorical.from_codes(results.codes[:], job.classes)
    return Perturbed(results.layer.matrix, predicted, results.probability[:])


def _open_results(
    job: Job, matrix: ExpressionMatrix, file: Group, keys: TspgKeys, fabric: Fabric
) -> _Results:
    """The unfinished or finished results in the file; new ones if these are of other inputs."""
    from ..models._apply import block_rows  # noqa: PLC0415 (torch takes seconds)

    kind = CsrLayer if matrix.is_sparse and keeps_zeros(job.model) else DenseLayer
    stride = STRIDE * block_rows(len(job.positions))
    layer = kind(file, keys.layer, matrix.shape, stride)
    results = _Results(file, keys, layer)
    inputs = (digest(job.context_codes), *job.depends_on, layer.encoding["encoding-type"])
    identity = _result_identity(job.model, *inputs)
    if fabric.is_global_zero and not results.is_of(identity):
        store_fit(file, keys.uns, job.fit)
        _delete_derived(file, keys)
        results.create(job.classes, identity)
    fabric.barrier()
    return results


def _to_write(
    found: list[tuple[slice, Perturbed]], layer: DenseLayer, fabric: Fabric
) -> list[tuple[slice, Perturbed]]:
    """The parts that this process writes, of those that the processes have perturbed."""
    if not layer.in_order:
        return found
    gathered = gather_objects(fabric, found)
    return [pair for pairs in gathered for pair in pairs] if fabric.is_global_zero else []


class _Results:
    """The layer and the two columns of `obs` in a file."""

    def __init__(self, file: Group, keys: TspgKeys, layer: DenseLayer) -> None:
        self.file, self.keys, self.layer = file, keys, layer

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
        return exists and self.layer.element.attrs.get(IDENTITY_ATTRIBUTE) == identity

    def is_missing(self) -> np.ndarray:
        """Boolean mask of the samples that are not perturbed yet."""
        return np.isnan(self.probability[:])

    def unfinished(self, rows: np.ndarray) -> list[slice]:
        """The parts to write; of a layer that is written in order, those after the last finished part."""
        missing = rows & self.is_missing()
        parts = list(blocks(len(rows), self.layer.stride))
        is_finished = np.array([rows[p].any() and not missing[p].any() for p in parts])
        if self.layer.in_order:
            return parts[np.flatnonzero(is_finished).max(initial=-1) + 1 :]
        return [part for part, finished in zip(parts, is_finished, strict=True) if not finished]

    def create(self, classes: np.ndarray, identity: str) -> None:
        """Create the layer and the columns, all values missing."""
        layers, layer = self.file.require_group("layers"), self.layer
        if layer.name in layers and IDENTITY_ATTRIBUTE in layer.element.attrs:
            layer.element.attrs[IDENTITY_ATTRIBUTE] = ""
        n_samples = layer.shape[0]
        columns = {
            self.keys.predicted: pd.Categorical.from_codes(np.full(n_samples, -1), classes),
            self.keys.probability: np.full(n_samples, np.nan, dtype=np.float32),
        }
        store_columns(self.file, columns, chunk=min(layer.stride, n_samples))
        layer.create()
        layer.element.attrs.update({**layer.encoding, IDENTITY_ATTRIBUTE: identity})
        commit(self.file)

    def write(self, part: slice, perturbed: Perturbed) -> None:
        """Write a part. The probability comes last: it marks the samples as finished."""
        self.layer.write(part, perturbed.expression)
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
