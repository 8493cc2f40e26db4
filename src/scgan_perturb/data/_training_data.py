"""What a fit reads from an AnnData, checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .._messages import examples, logger, warn
from ..engine._processes import gather_objects, part
from ._blocks import blocks, dense, is_finite
from ._dask import DaskMatrix
from ._expression import checked_blocks, find_expression, read_gene_mask, select_genes, warn_if_raw
from ._labels import read_labels
from ._scaling import GeneScaler
from ._split import read_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from lightning_fabric import Fabric

    from ._blocks import Matrix
    from ._expression import Expression


@dataclass(frozen=True)
class TrainingData:
    """Expression, labels, split and gene ranges of one AnnData.

    Parameters
    ----------
    expression
        All samples × the genes in use, input units, in memory or on disk.
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
    summary
        What is known of the training samples together.
    """

    expression: Expression
    positions: np.ndarray
    genes: np.ndarray
    classes: np.ndarray
    labels: np.ndarray
    is_train: np.ndarray
    summary: Summary

    @property
    def scaler(self) -> GeneScaler:
        """Range of each gene over the training samples."""
        return self.summary.scaler


@dataclass(frozen=True)
class Summary:
    """What one pass over the training samples tells.

    Parameters
    ----------
    scaler
        Range of each gene.
    means
        Mean of each class, classes × genes, input units.
    digest
        A hash of the expression as float32, in order.
    """

    scaler: GeneScaler
    means: np.ndarray
    digest: str


@dataclass(frozen=True)
class _Part:
    """What some of the samples tell: the range of each gene, sums of the classes, row by row hashes.

    Without training samples there is no range.
    """

    scaler: GeneScaler | None
    sums: np.ndarray
    hashes: list[bytes]
    is_finite: bool


def summarise(
    adata: AnnData,
    expression: Expression,
    positions: np.ndarray,
    labels: np.ndarray,
    is_train: np.ndarray,
    fabric: Fabric,
) -> Summary:
    """Pass once over all samples, and check that their values are finite.

    Each of several processes reads its share of them; to all of them the summary is the same.

    Parameters
    ----------
    adata
        The names of samples and genes.
    expression
        Samples × genes in input units.
    positions
        Positions of these genes in the AnnData.
    labels
        For each sample the position of its class.
    is_train
        Whether a sample trains. Of each class at least one does.
    fabric
        The processes.

    Raises
    ------
    ValueError
        If a value is NaN or infinite.
    """
    n_classes = labels.max() + 1
    if isinstance(expression, DaskMatrix):
        whole = expression.reduce(_summary_part, _merged, labels, is_train, n_classes=n_classes)
    else:
        parts = (
            _summary_part(expression[rows], labels[rows], is_train[rows], n_classes)
            for rows in blocks(part(fabric, len(labels)))
        )
        nothing = _Part(None, np.zeros((n_classes, expression.shape[1])), [], is_finite=True)
        own = reduce(lambda *pair: _merged(pair), parts, nothing)
        whole = _merged(gather_objects(fabric, own))
    if not whole.is_finite:  # so all processes say the same of them
        for _ in checked_blocks(adata, expression, positions):
            pass
    counts = np.bincount(labels[is_train], minlength=n_classes)
    means = (whole.sums / counts[:, None]).astype(np.float32)
    digest = hashlib.blake2b(b"".join(whole.hashes), digest_size=16)
    return Summary(whole.scaler, means, digest.hexdigest())


def _summary_part(block: Matrix, labels: np.ndarray, is_train: np.ndarray, n_classes: int) -> _Part:
    finite = is_finite(block)
    if not (finite and is_train.any()):
        return _Part(None, np.zeros((n_classes, block.shape[1])), [], finite)
    own = block if is_train.all() else block[np.flatnonzero(is_train)]
    x = np.ascontiguousarray(dense(own))
    # Row by row, so that the hash of all does not depend on which of them come together.
    hashes = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in x)
    sums = _members(labels[is_train], n_classes) @ x
    return _Part(GeneScaler.of(own), sums, [hashes], finite)


def _merged(parts: Sequence[_Part]) -> _Part:
    scalers = [part.scaler for part in parts if part.scaler is not None]
    return _Part(
        reduce(GeneScaler.widened, scalers) if scalers else None,
        np.sum([part.sums for part in parts], axis=0),
        [value for part in parts for value in part.hashes],
        all(part.is_finite for part in parts),
    )


def _members(labels: np.ndarray, n_classes: int) -> sparse.csr_matrix:
    """Classes × samples, 1 where a sample is of a class."""
    at = labels, np.arange(len(labels))
    return sparse.csr_matrix((np.ones(len(labels)), at), shape=(n_classes, len(labels)))


def labels_digest(adata: AnnData, groupby: str) -> str:
    """A hash of all samples' labels, in order."""
    labels = read_labels(adata, groupby).cat
    text = "\0".join(labels.categories.to_numpy()[labels.codes])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_training_data(
    adata: AnnData,
    groupby: str,
    *,
    layer: str | None,
    mask_var: str | None,
    held_out: float | str,
    seed: int,
    fabric: Fabric,
) -> TrainingData:
    """Read and check all that a fit needs; `adata` is not changed."""
    matrix = find_expression(adata, layer)
    labels = read_labels(adata, groupby, sort=True)
    positions = np.flatnonzero(read_gene_mask(adata, mask_var))
    expression = select_genes(matrix, positions)
    is_train = read_split(adata, labels, held_out, seed=seed)
    trained = labels[is_train].cat.remove_unused_categories().cat.categories
    codes = trained.get_indexer(labels)
    if len(trained) < 2:
        msg = (
            f"A perturbation needs training samples of at least two classes in "
            f"adata.obs[{groupby!r}]; all have the label {examples(trained)}."
        )
        raise ValueError(msg)
    summary = summarise(adata, expression, positions, codes, is_train, fabric)
    warn_if_raw(expression)
    _check_varying(summary.scaler)
    _warn_of_untrained(labels, is_train)
    return TrainingData(
        expression=expression,
        positions=positions,
        genes=adata.var_names[positions].to_numpy(dtype=object),
        classes=trained.to_numpy(dtype=object),
        labels=codes,
        is_train=is_train,
        summary=summary,
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
