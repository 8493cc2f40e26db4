"""What a verb reads from an AnnData: matrix, genes and labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ._blocks import dense
from ._contexts import read_contexts
from ._expression import IN_X, find_expression, match_genes, read_gene_mask
from ._labels import read_labels

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ._matrix import ExpressionMatrix


@dataclass(frozen=True)
class Reader:
    """Reads each part of an AnnData once, when a verb first needs it.

    Parameters
    ----------
    adata
        The AnnData.
    layer
        Layer with the expression; None for X.
    groupby
        Column of `obs` with the labels, for verbs that read labels.
    context
        Columns of `obs` with what stays as it is.
    mask_var
        Boolean column of `var` that marks the genes to use; None for all.
    model_genes
        Names of the genes to use, in this order; None to use `mask_var`.
    remedy
        What to do if the layer is missing.
    """

    adata: AnnData
    layer: str | None
    groupby: str = ""
    context: tuple[str, ...] = ()
    mask_var: str | None = None
    model_genes: np.ndarray | None = None
    remedy: str = IN_X

    @cached_property
    def matrix(self) -> ExpressionMatrix:
        """All samples × all genes, in input units."""
        return find_expression(self.adata, self.layer, remedy=self.remedy)

    @cached_property
    def positions(self) -> np.ndarray:
        """Positions of the genes to use among all genes."""
        if self.model_genes is not None:
            return match_genes(self.adata, self.model_genes)
        return np.flatnonzero(read_gene_mask(self.adata, self.mask_var))

    @cached_property
    def expression(self) -> ExpressionMatrix:
        """All samples × the genes to use."""
        return self.matrix.select(self.positions)

    @cached_property
    def genes(self) -> np.ndarray:
        """Names of the genes to use."""
        return self.adata.var_names[self.positions].to_numpy(dtype=object)

    @cached_property
    def labels(self) -> pd.Series:
        """The label of each sample, as a categorical."""
        return read_labels(self.adata, self.groupby, sort=True)

    @cached_property
    def label_names(self) -> np.ndarray:
        """The label of each sample, as text."""
        return self.labels.astype(str).to_numpy(dtype=object)

    @cached_property
    def context_names(self) -> np.ndarray | None:
        """The context of each sample, as text; None without contexts."""
        return read_contexts(self.adata, self.context, self.groupby) if self.context else None

    def contexts_of(self, rows: np.ndarray) -> np.ndarray | None:
        """The contexts of the samples at `rows`; None without contexts."""
        return None if self.context_names is None else self.context_names[rows]

    @cached_property
    def sample_names(self) -> np.ndarray:
        """The name of each sample, as text."""
        return self.adata.obs_names.astype(str).to_numpy(dtype=object)

    @property
    def labels_digest(self) -> str:
        """A hash of the labels of all samples, in order."""
        return hashlib.blake2b("\0".join(self.label_names).encode(), digest_size=16).hexdigest()

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Expression of the samples at `rows`, dense float32."""
        return dense(self.matrix[rows][:, self.positions])
