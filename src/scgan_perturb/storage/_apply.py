"""Apply a fitted model to the samples of an AnnData."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pandas as pd

from .._keys import METHODS
from ..data._blocks import dense, is_finite
from ..data._expression import select_genes
from ._arguments import leave_view

if TYPE_CHECKING:
    import torch
    from anndata import AnnData

    from .._keys import TspgKeys
    from ..data._blocks import Matrix
    from ..data._dask import DaskMatrix
    from ..models._fitted_classifier import FittedClassifier
    from ..models._module_classifier import ModuleClassifier
    from ..models._perturbation_model import PerturbationModel


class Perturbed(NamedTuple):
    """Perturbed expression of all samples and genes, and what f says of it.

    The expression may be an array in a file; or a Dask array, of which f has said nothing yet.
    """

    expression: Any
    predicted: pd.Categorical | None
    probability: np.ndarray | None


def apply_model(
    model: PerturbationModel,
    matrix: Matrix,
    positions: np.ndarray,
    rows: np.ndarray,
    accelerator: str | torch.device,
    judge: FittedClassifier | ModuleClassifier | None = None,
) -> Perturbed:
    """Perturb the samples in the mask `rows`; all else stays as it is in `matrix`.

    Parameters
    ----------
    model
        The fitted model.
    matrix
        All samples × all genes, input units.
    positions
        Columns of the model's genes, in its order.
    rows
        Boolean mask of the samples to perturb; f is not asked about the others.
    accelerator
        Device as Lightning Fabric names them.
    judge
        The classifier to ask; None for that of the model.
    """
    chosen = cast("Matrix", select_genes(matrix, positions))
    index, every_gene = np.flatnonzero(rows), chosen is matrix
    if every_gene and rows.all():
        expression = np.empty(matrix.shape, dtype=np.float32)
    else:
        expression = dense(matrix)
        expression = expression.copy() if expression is matrix else expression
    codes = np.full(len(rows), -1)
    probability = np.full(len(rows), np.nan, dtype=np.float32)
    for block in model.perturb_blocks(
        chosen if rows.all() else chosen[rows], accelerator=accelerator
    ):
        own = index[block.rows]
        said = block.probabilities
        if judge is not None:
            said = judge.predict_proba(block.expression, accelerator=accelerator)
        codes[own] = said.argmax(axis=1)
        probability[own] = said[:, model.target_class]
        expression[own if every_gene else np.ix_(own, positions)] = block.expression
    classes = (model.classifier if judge is None else judge).classes
    return Perturbed(expression, pd.Categorical.from_codes(codes, classes), probability)


def apply_lazily(
    model: PerturbationModel,
    matrix: DaskMatrix,
    positions: np.ndarray,
    rows: np.ndarray,
    accelerator: str | torch.device,
) -> Perturbed:
    """What :func:`apply_model` gives, as a Dask array that is computed when it is asked for."""
    layer = matrix.map(_block, rows, model=model, positions=positions, accelerator=accelerator)
    return Perturbed(layer, None, None)


def _block(
    block: Matrix,
    rows: np.ndarray,
    model: PerturbationModel,
    positions: np.ndarray,
    accelerator: str | torch.device,
) -> np.ndarray:
    if not is_finite(block):
        msg = "The expression holds NaN or infinite values; fill or remove them first."
        raise ValueError(msg)
    return apply_model(model, block, positions, rows, accelerator).expression


def write_perturbed(adata: AnnData, keys: TspgKeys, perturbed: Perturbed) -> None:
    """Write the layer and what f says of it; delete results of an earlier layer."""
    leave_view(adata)
    for part, name in derived_results(keys, adata.uns):
        getattr(adata, part).pop(name, None)
    adata.layers[keys.layer] = perturbed.expression
    for name, said in (
        (keys.predicted, perturbed.predicted),
        (keys.probability, perturbed.probability),
    ):
        if said is not None:
            adata.obs[name] = said
        elif name in adata.obs:
            del adata.obs[name]


def derived_results(keys: TspgKeys, uns: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where results are that were derived from the layer: embeddings, ranked genes, enrichments.

    Parameters
    ----------
    keys
        Names of the fit.
    uns
        Entries of `uns`, which hold enrichments of any name.
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
