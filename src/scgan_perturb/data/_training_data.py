"""The data of a fit: classes, split, and a summary of the training samples."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy import sparse

from .._messages import examples, logger, warn
from ._blocks import dense, is_finite
from ._contexts import SEPARATOR, context_positions, warn_of_unknown
from ._counts import TARGET_SUM, are_counts, are_logged_counts, checked_sample
from ._expression import checked_blocks
from ._scaling import GeneScaler
from ._split import read_split
from ._units import warn_of_raw_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from lightning_fabric import Fabric

    from ._blocks import Matrix
    from ._matrix import ExpressionMatrix
    from ._reader import Reader


@dataclass(frozen=True)
class TrainingData:
    """Expression, labels, split and gene ranges of one AnnData.

    Parameters
    ----------
    reader
        Matrix, genes and labels.
    classes
        Labels that have training samples.
    labels
        For each sample the position of its label in `classes`; -1 if its class has no training
        sample.
    is_train
        Whether a sample trains.
    summary
        Ranges and means of the training samples.
    contexts
        Names of the contexts that have training samples; empty without contexts.
    context_codes
        For each sample the position of its context in `contexts`; -1 if no sample of its context
        trains. 0 without contexts.
    are_logged_counts
        Whether the values of each sample are log(1 + k / s), whole k and a number s of its own.
    """

    reader: Reader
    classes: np.ndarray
    labels: np.ndarray
    is_train: np.ndarray
    summary: Summary
    contexts: np.ndarray
    context_codes: np.ndarray
    are_logged_counts: bool

    @property
    def n_contexts(self) -> int:
        """Number of contexts; 1 without."""
        return max(len(self.contexts), 1)

    @property
    def groups(self) -> np.ndarray:
        """For each training sample the position of its class within its context."""
        return self.labels * self.n_contexts + self.context_codes

    @property
    def n_train(self) -> np.ndarray:
        """Number of training samples of each class in each context, classes × contexts."""
        shape = (len(self.classes), self.n_contexts)
        return np.bincount(self.groups[self.is_train], minlength=np.prod(shape)).reshape(shape)

    @property
    def expression(self) -> ExpressionMatrix:
        """All samples × the genes in use, in input units."""
        return self.reader.expression

    @property
    def genes(self) -> np.ndarray:
        """Names of the genes in use."""
        return self.reader.genes

    @property
    def units(self) -> dict[str, bool]:
        """What a fit stores of the units: whether they are counts or logged counts, if they are."""
        found = {"counts": self.scaler.is_count, "logged_counts": self.are_logged_counts}
        return {name: True for name, holds in found.items() if holds}

    @property
    def scaler(self) -> GeneScaler:
        """Range of each gene over the training samples."""
        return self.summary.scaler


@dataclass(frozen=True)
class Summary:
    """Ranges, means and hash of the training samples, from one pass.

    Parameters
    ----------
    scaler
        Range of each gene.
    means
        Mean of each class, classes × genes, input units.
    digest
        A hash of their expression as float32, in order.
    """

    scaler: GeneScaler
    means: np.ndarray
    digest: str


@dataclass(frozen=True)
class _Part:
    """Summary of some samples: range of each gene, sums of the classes, hashes of the rows.

    Without training samples there is no range.
    """

    scaler: GeneScaler | None
    sums: np.ndarray
    hashes: list[bytes]
    is_finite: bool


def read_training_data(
    reader: Reader, *, held_out: float | str, seed: int, fabric: Fabric
) -> TrainingData:
    """Read and check all that a fit needs; the AnnData is not changed.

    Raises
    ------
    ValueError
        If fewer than two classes have training samples, a value is NaN or infinite, or all genes
        are constant.
    """
    labels = reader.labels
    is_train = read_split(reader.adata, _strata(reader), held_out, seed=seed)
    trained = labels[is_train].cat.remove_unused_categories().cat.categories
    codes = trained.get_indexer(labels)
    if len(trained) < 2:
        msg = (
            f"A perturbation needs training samples of at least two classes in "
            f"adata.obs[{reader.groupby!r}]; all have the label {examples(trained)}."
        )
        raise ValueError(msg)
    sample = checked_sample(reader.expression)
    is_count = are_counts(sample)
    summary = _summarise(reader, codes, is_train, fabric, is_count=is_count)
    if summary.scaler.is_count:
        logger.info(
            "The values are whole numbers, so they are read as counts: normalised to %s a sample and "
            "logged within the fit. The result is counts again, at each sample's own depth.",
            f"{TARGET_SUM:,.0f}",
        )
    _check_varying(summary.scaler)
    warn_of_raw_values(sample, summary.scaler)
    _log_untrained(labels, is_train)
    contexts, context_codes = _read_contexts(reader, is_train)
    return TrainingData(
        reader,
        trained.to_numpy(dtype=object),
        codes,
        is_train,
        summary,
        contexts,
        context_codes,
        not is_count and are_logged_counts(sample),
    )


def _strata(reader: Reader) -> pd.Series:
    """The labels, within contexts where there are some: a share of each is held out."""
    if reader.context_names is None:
        return reader.labels
    names = reader.labels.astype(str).str.cat(reader.context_names, sep=SEPARATOR)
    return names.astype("category")


def _read_contexts(reader: Reader, is_train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names of the contexts that train, and the position of each sample's context among them."""
    names = reader.context_names
    if names is None:
        return np.empty(0, dtype=object), np.zeros(len(is_train), dtype=np.int64)
    contexts = np.unique(names[is_train])
    n_train = int(is_train.sum())
    if len(contexts) > n_train // 2:
        msg = (
            f"context={list(reader.context)} has {len(contexts):,} values for {n_train:,} training "
            "samples. Name columns with few values: a cell type, a donor, a batch."
        )
        raise ValueError(msg)
    codes = context_positions(contexts, names)
    if (codes < 0).any():
        warn_of_unknown(names[codes < 0])
    return contexts, codes


def _summarise(
    reader: Reader, labels: np.ndarray, is_train: np.ndarray, fabric: Fabric, *, is_count: bool
) -> Summary:
    """Summarise the training samples in one pass; ValueError if a value is NaN or infinite.

    Each process reads its part of the samples; all processes get the same summary. Each class has
    at least one training sample.
    """
    n_classes = labels.max() + 1
    whole: _Part = reader.expression.reduce(
        _summary_part,
        _merged,
        labels,
        is_train,
        fabric=fabric,
        n_classes=n_classes,
        is_count=is_count,
    )
    if not whole.is_finite:  # all processes raise the same error
        for _ in checked_blocks(reader.adata, reader.expression, reader.positions):
            pass
    counts = np.bincount(labels[is_train], minlength=n_classes)
    means = (whole.sums / counts[:, None]).astype(np.float32)
    digest = hashlib.blake2b(b"".join(whole.hashes), digest_size=16)
    return Summary(cast("GeneScaler", whole.scaler), means, digest.hexdigest())


def _summary_part(
    block: Matrix, labels: np.ndarray, is_train: np.ndarray, n_classes: int, *, is_count: bool
) -> _Part:
    finite = is_finite(block)
    if not (finite and is_train.any()):
        return _Part(None, np.zeros((n_classes, block.shape[1])), [], finite)
    train = block if is_train.all() else block[np.flatnonzero(is_train)]
    x = np.ascontiguousarray(dense(train))
    # One hash for each row, so that the hash of all rows does not depend on the blocks.
    hashes = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in x)
    sums = _members(labels[is_train], n_classes) @ x
    return _Part(GeneScaler.of(train, is_count=is_count), sums, [hashes], finite)


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


def _log_untrained(labels: pd.Series, is_train: np.ndarray) -> None:
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
