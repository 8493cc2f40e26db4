"""What a fit reads from an AnnData, checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._messages import examples, logger, warn
from ._expression import (
    blocks,
    check_finite,
    dense,
    read_expression,
    read_gene_mask,
    select_genes,
    warn_if_raw,
)
from ._labels import read_labels
from ._scaling import GeneScaler
from ._split import read_split

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ._expression import Matrix


@dataclass(frozen=True)
class TrainingData:
    """Expression, labels, split and gene ranges of one AnnData.

    Parameters
    ----------
    expression
        All samples × the genes in use, input units.
    positions
        Positions of these genes in the AnnData.
    genes
        Names of these genes.
    classes
        Labels that have training samples.
    labels
        For each sample the position of its label in `classes`; -1 if it has no training sample.
    is_train
        Whether a sample trains.
    scaler
        Range of each gene over the training samples.
    """

    expression: Matrix
    positions: np.ndarray
    genes: np.ndarray
    classes: np.ndarray
    labels: np.ndarray
    is_train: np.ndarray
    scaler: GeneScaler

    def expression_digest(self) -> str:
        """A hash of the training samples' expression, as float32, in order."""
        rows = np.flatnonzero(self.is_train)
        digest = hashlib.blake2b(digest_size=16)
        for block in blocks(len(rows)):
            digest.update(np.ascontiguousarray(dense(self.expression[rows[block]])).data)
        return digest.hexdigest()


def labels_digest(adata: AnnData, groupby: str) -> str:
    """A hash of all samples' labels, in order."""
    text = "\0".join(read_labels(adata, groupby).astype(str))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_training_data(
    adata: AnnData,
    groupby: str,
    *,
    layer: str | None,
    mask_var: str | None,
    held_out: float | str,
    seed: int,
) -> TrainingData:
    """Read and check all that a fit needs; `adata` is not changed."""
    labels = read_labels(adata, groupby)
    matrix = read_expression(adata, layer)
    positions = np.flatnonzero(read_gene_mask(adata, mask_var))
    expression = select_genes(matrix, positions)
    check_finite(adata, expression, positions)
    warn_if_raw(expression)
    is_train = read_split(adata, labels, held_out, seed=seed)
    scaler = GeneScaler.fit(expression, np.flatnonzero(is_train))
    _check_varying(scaler)
    _warn_of_untrained(labels, is_train)
    trained = labels[is_train].cat.remove_unused_categories().cat.categories
    if len(trained) < 2:
        msg = (
            f"A perturbation needs training samples of at least two classes in "
            f"adata.obs[{groupby!r}]; all have the label {examples(trained)}."
        )
        raise ValueError(msg)
    return TrainingData(
        expression=expression,
        positions=positions,
        genes=adata.var_names[positions].to_numpy(dtype=object),
        classes=trained.to_numpy(dtype=object),
        labels=trained.get_indexer(labels),
        is_train=is_train,
        scaler=scaler,
    )


def _warn_of_untrained(labels: pd.Series, is_train: np.ndarray) -> None:
    untrained = set(labels) - set(labels[is_train])
    if untrained:
        logger.info(
            "No training samples, so no class of the classifier: %s.", examples(sorted(untrained))
        )


def _check_varying(scaler: GeneScaler) -> None:
    n_constant = int((~scaler.varying).sum())
    if n_constant == len(scaler.minimum):
        msg = f"No genes left: all {n_constant:,} genes are constant over the training samples."
        raise ValueError(msg)
    if n_constant:
        warn(
            f"{n_constant:,} of {len(scaler.minimum):,} genes are constant over the training "
            "samples: they are kept, and their perturbation is zero."
        )
