"""Where perturbed samples go: to memory, to the file of the input, or to a lazy array.

The kind of storage is asked in :func:`output_for` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data._dask import DaskMatrix
from ..data._on_disk import DiskMatrix
from ._apply import Perturbed, apply_lazily, apply_model, write_perturbed
from ._file import drop_column, results_file, store_columns, writable_file
from ._perturb_on_disk import perturb_on_disk, result_identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pandas as pd
    import torch
    from anndata import AnnData
    from lightning_fabric import Fabric

    from .._keys import TspgKeys
    from ..data._blocks import Matrix
    from ..data._expression import Expression
    from ..models._fitted_classifier import FittedClassifier
    from ..models._module_classifier import ModuleClassifier
    from ..models._perturbation_model import PerturbationModel
    from ._file import Group


@dataclass(frozen=True)
class Job:
    """What is perturbed, by which model.

    Parameters
    ----------
    model
        The model.
    positions
        Columns of the model's genes, in its order.
    rows
        Boolean mask of the samples to perturb.
    fit
        The fit as it is stored.
    columns
        Further columns of `obs`, by name; None deletes one.
    depends_on
        What the result depends on besides the model: an unfinished one of another kind is begun
        again.
    accelerator
        Device by name, as workers elsewhere are told it.
    fabric
        Device and processes; None for one process on the accelerator.
    classifier
        The classifier that predicts the classes; None for that of the model.
    """

    model: PerturbationModel
    positions: np.ndarray
    rows: np.ndarray
    fit: Mapping[str, Any]
    columns: Mapping[str, pd.Categorical | None]
    depends_on: Sequence[str]
    accelerator: str
    fabric: Fabric | None = None
    classifier: FittedClassifier | ModuleClassifier | None = None

    @property
    def device(self) -> str | torch.device:
        """The device of this process."""
        return self.accelerator if self.fabric is None else self.fabric.device


@dataclass(frozen=True)
class Output:
    """Results in memory: the layer is an array.

    Parameters
    ----------
    adata
        AnnData to write to.
    keys
        Names of the results.
    matrix
        All samples × all genes.
    """

    adata: AnnData
    keys: TspgKeys
    matrix: Any

    def write(self, job: Job) -> Perturbed | None:
        """Perturb samples and write the layer, its columns and the fit; None without a layer."""
        perturbed = self.perturb(job)
        if perturbed is not None:
            write_perturbed(self.adata, self.keys, perturbed)
        for name, values in job.columns.items():
            if values is not None:
                self.adata.obs[name] = values
            elif name in self.adata.obs:
                del self.adata.obs[name]
        self.adata.uns[self.keys.uns] = dict(job.fit)
        return perturbed

    def perturb(self, job: Job) -> Perturbed | None:
        """Perturb the samples."""
        matrix: Matrix = self.matrix
        return apply_model(job.model, matrix, job.positions, job.rows, job.device, job.classifier)


class LazyOutput(Output):
    """The layer is a Dask array that is computed on demand."""

    def perturb(self, job: Job) -> Perturbed:
        """Describe the computation."""
        return apply_lazily(job.model, self.matrix, job.positions, job.rows, job.accelerator)


class ReadOnlyOutput(Output):
    """The file may not be written, and the layer would not fit in memory: there is none."""

    def perturb(self, job: Job) -> None:  # noqa: ARG002
        """Do nothing."""
        return


@dataclass(frozen=True)
class FileOutput(Output):
    """The layer is an array in the file of the input.

    Parameters
    ----------
    file
        The AnnData in the file.
    """

    file: Group

    def perturb(self, job: Job) -> Perturbed:
        """Perturb a part at a time; an unfinished result is resumed."""
        from ..engine._device import open_fabric  # noqa: PLC0415 (torch takes seconds)

        fabric = job.fabric or open_fabric(job.accelerator)
        if fabric.is_global_zero:
            store_columns(self.file, {n: v for n, v in job.columns.items() if v is not None})
            for name in (name for name, values in job.columns.items() if values is None):
                drop_column(self.file, name)
        return perturb_on_disk(
            job.model,
            self.matrix,
            job.positions,
            job.rows,
            job.device,
            job.classifier,
            file=self.file,
            keys=self.keys,
            fit=job.fit,
            identity=result_identity(job.model, *job.depends_on),
            fabric=fabric,
        )


def output_for(
    adata: AnnData, matrix: Expression, keys: TspgKeys, *, is_required: bool = False
) -> Output:
    """The output that belongs to a kind of matrix.

    Parameters
    ----------
    adata
        AnnData to write to.
    matrix
        All samples × all genes, the input.
    keys
        Names of the results.
    is_required
        Whether a file that may not be written is an error.

    Raises
    ------
    ValueError
        If a file is required and may not be written.
    """
    if isinstance(matrix, DaskMatrix):
        return LazyOutput(adata, keys, matrix)
    if not isinstance(matrix, DiskMatrix):
        return Output(adata, keys, matrix)
    file = results_file(matrix) if is_required else writable_file(matrix)
    return (
        ReadOnlyOutput(adata, keys, matrix)
        if file is None
        else FileOutput(adata, keys, matrix, file)
    )
