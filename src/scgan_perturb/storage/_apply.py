"""Apply a fitted model to the samples of an AnnData."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from .._keys import METHODS
from .._recipes import PAPER
from ..data._blocks import dense, has_all_genes, is_finite, select_genes
from ._arguments import leave_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from anndata import AnnData
    from lightning_fabric import Fabric

    from .._keys import TspgKeys
    from ..data._blocks import Matrix
    from ..models._fitted_classifier import FittedClassifier
    from ..models._module_classifier import ModuleClassifier
    from ..models._perturbation_model import PerturbationModel


@dataclass(frozen=True)
class Job:
    """A model and the samples that it perturbs.

    Parameters
    ----------
    model
        The fitted model.
    positions
        Columns of the model's genes, in its order.
    rows
        Boolean mask of the samples to perturb.
    context_codes
        Positions of the contexts of all samples; see the model's `context_codes`.
    fit
        The fit, as it is stored.
    columns
        Further columns of `obs`, by name; None deletes one.
    depends_on
        Inputs of the result besides the model: an unfinished result of other inputs starts over.
    accelerator
        Device by name, for workers on other machines.
    fabric
        Device and processes; None for one process on the accelerator.
    classifier
        The classifier that predicts the classes; None for that of the model.
    """

    model: PerturbationModel
    positions: np.ndarray
    rows: np.ndarray
    context_codes: np.ndarray
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

    @property
    def classes(self) -> np.ndarray:
        """The classes that can be predicted."""
        return (self.classifier or self.model.classifier).classes


class Perturbed(NamedTuple):
    """Perturbed expression of all samples and genes, with the predicted class and p(target).

    The expression is an array in memory, an array in a file, or a Dask array without predictions.
    """

    expression: Any
    predicted: pd.Categorical | None
    probability: np.ndarray | None


def apply_model(
    model: PerturbationModel,
    matrix: Matrix,
    positions: np.ndarray,
    rows: np.ndarray,
    context_codes: np.ndarray,
    accelerator: str | torch.device,
    classifier: FittedClassifier | ModuleClassifier | None = None,
) -> Perturbed:
    """Perturb the samples in the mask `rows`; copy the other samples and genes of `matrix`.

    The arguments are those of a :class:`Job`; `matrix` holds all samples × all genes, in input
    units.
    """
    expression_of_model = select_genes(matrix, positions)
    index = np.flatnonzero(rows)
    is_sparse = sparse.issparse(matrix) and keeps_zeros(model)
    parts: list[sparse.csr_matrix] = []
    expression = None if is_sparse else _copied(matrix, rows, positions)
    codes = np.full(len(rows), -1)
    probability = np.full(len(rows), np.nan, dtype=np.float32)
    for block in model.perturb_blocks(
        expression_of_model if rows.all() else expression_of_model[rows],
        context_codes[rows],
        accelerator=accelerator,
        classifier=classifier,
    ):
        block_index = index[block.rows]
        codes[block_index] = block.probabilities.argmax(axis=1)
        probability[block_index] = block.probabilities[:, model.target_class]
        values = block.expression
        if expression is None:
            if expression_of_model is not matrix:
                values = dense(matrix[block_index])
                values[:, positions] = block.expression
            parts.append(sparse.csr_matrix(values))
        elif expression_of_model is matrix:
            expression[block_index] = values
        else:
            expression[np.ix_(block_index, positions)] = values
    if expression is None:
        others = sparse.csr_matrix(matrix[~rows], dtype=np.float32)
        order = np.concatenate([index, np.flatnonzero(~rows)]).argsort(kind="stable")
        expression = sparse.vstack([*parts, others], format="csr")
        expression = expression if rows.all() else expression[order]
    classes = (classifier or model.classifier).classes
    return Perturbed(expression, pd.Categorical.from_codes(codes, classes), probability)


def keeps_zeros(model: PerturbationModel) -> bool:
    """Whether zeros stay zeros or become them, so that a layer is as sparse as its input."""
    return model.params.get("recipe") != PAPER


def _copied(matrix: Matrix, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A dense copy of a matrix; empty memory if all of it will be perturbed."""
    if rows.all() and has_all_genes(positions, matrix.shape[1]):
        return np.empty(matrix.shape, dtype=np.float32)
    expression = dense(matrix)
    return expression.copy() if expression is matrix else expression


def perturb_dask_block(
    block: Matrix,
    rows: np.ndarray,
    context_codes: np.ndarray,
    model: PerturbationModel,
    positions: np.ndarray,
    accelerator: str | torch.device,
    *,
    is_sparse: bool,
) -> Matrix:
    """Perturb one block of a Dask array, on a Dask worker."""
    if not is_finite(select_genes(block, positions)):
        msg = "The expression holds NaN or infinite values; fill or remove them first."
        raise ValueError(msg)
    expression = apply_model(model, block, positions, rows, context_codes, accelerator).expression
    return sparse.csr_matrix(expression) if is_sparse else dense(expression)


def write_perturbed(adata: AnnData, keys: TspgKeys, perturbed: Perturbed) -> None:
    """Write the layer and the predictions; delete results of an earlier layer."""
    leave_view(adata)
    for part, name in derived_results(keys, adata.uns):
        getattr(adata, part).pop(name, None)
    adata.layers[keys.layer] = perturbed.expression
    columns = {keys.predicted: perturbed.predicted, keys.probability: perturbed.probability}
    write_columns(adata, columns)


def write_columns(adata: AnnData, columns: Mapping[str, Any]) -> None:
    """Write columns of `obs`, and delete those whose value is None."""
    for name, values in columns.items():
        if values is not None:
            adata.obs[name] = values
        elif name in adata.obs:
            del adata.obs[name]


def derived_results(keys: TspgKeys, uns: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Attributes and keys of results derived from the layer: embeddings, rankings, enrichments.

    Enrichments can have any name in `uns`.
    """
    found = [("uns", keys.rank_genes), ("uns", keys.enrichment)]
    for method in METHODS:
        original, changed = keys.embedding(method)
        found += [("obsm", original), ("obsm", changed), ("uns", original)]
    for name, entry in uns.items():
        params = entry.get("params") if isinstance(entry, Mapping) else None
        if isinstance(params, Mapping) and params.get("fit") == keys.uns:
            found.append(("uns", name))
    return found
