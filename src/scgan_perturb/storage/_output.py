"""Write perturbed samples to memory, to the file of the input, or to a lazy array.

Only :func:`output_for` looks at the kind of storage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data._dask import DaskMatrix
from ._apply import (
    Job,
    Perturbed,
    apply_model,
    keeps_zeros,
    perturb_dask_block,
    write_columns,
    write_perturbed,
)
from ._file import drop_column, own_handle, results_file, store_columns, writable_file
from ._perturb_on_disk import perturb_on_disk

if TYPE_CHECKING:
    from anndata import AnnData

    from .._keys import TspgKeys
    from ..data._reader import Reader
    from ._file import Group


@dataclass(frozen=True)
class Output:
    """Results in memory: the layer is an array. `matrix` is the input, all samples × all genes."""

    adata: AnnData
    keys: TspgKeys
    matrix: Any

    def write(self, job: Job) -> Perturbed | None:
        """Perturb samples and write the layer, its columns and the fit; None without a layer."""
        perturbed = self.perturb(job)
        if perturbed is not None:
            write_perturbed(self.adata, self.keys, perturbed)
        write_columns(self.adata, job.columns)
        self.adata.uns[self.keys.uns] = dict(job.fit)
        return perturbed

    def perturb(self, job: Job) -> Perturbed | None:
        """Perturb the samples."""
        return apply_model(
            job.model,
            self.matrix.array,
            job.positions,
            job.rows,
            job.context_codes,
            job.device,
            job.classifier,
        )


class LazyOutput(Output):
    """The layer is a Dask array that is computed on demand."""

    def perturb(self, job: Job) -> Perturbed:
        """Describe the computation."""
        is_sparse = self.matrix.is_sparse and keeps_zeros(job.model)
        layer = self.matrix.map(
            perturb_dask_block,
            job.rows,
            job.context_codes,
            is_sparse=is_sparse,
            model=job.model,
            positions=job.positions,
            accelerator=job.accelerator,
        )
        return Perturbed(layer, None, None)


class ReadOnlyOutput(Output):
    """The file is read-only and the layer might not fit in memory: no layer is computed."""

    def perturb(self, job: Job) -> None:  # noqa: ARG002
        """Do nothing."""
        return


@dataclass(frozen=True)
class FileOutput(Output):
    """The layer is an array or a CSR matrix in the file of the input."""

    file: Group

    def perturb(self, job: Job) -> Perturbed:
        """Perturb a part at a time; resume an unfinished result."""
        from ..engine._device import open_fabric  # noqa: PLC0415 (torch takes seconds)

        fabric = job.fabric or open_fabric(job.accelerator)
        if fabric.is_global_zero:
            store_columns(self.file, {n: v for n, v in job.columns.items() if v is not None})
            for name in (name for name, values in job.columns.items() if values is None):
                drop_column(self.file, name)
        done = perturb_on_disk(job, self.matrix, file=self.file, keys=self.keys, fabric=fabric)
        return done._replace(expression=own_handle(self.adata, done.expression))


def output_for(reader: Reader, keys: TspgKeys, *, is_required: bool = False) -> Output:
    """The output for the kind of matrix that was read, and for the file of the AnnData.

    Raises
    ------
    ValueError
        If `is_required`, the matrix is on disk, and its file is read-only.
    """
    adata, matrix = reader.adata, reader.matrix
    if isinstance(matrix, DaskMatrix):
        return LazyOutput(adata, keys, matrix)
    if matrix.in_memory and writable_file(matrix) is None:
        return Output(adata, keys, matrix)
    file = results_file(matrix) if is_required else writable_file(matrix)
    if file is None:
        return ReadOnlyOutput(adata, keys, matrix)
    return FileOutput(adata, keys, matrix, file)
