"""The expression matrix of an AnnData: found, checked, cut to genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._messages import examples, unknown_name
from ._adata import check_adata
from ._blocks import LARGEST, blocks, dense, is_finite
from ._dask import as_dask_matrix
from ._matrix import MemoryMatrix
from ._on_disk import as_disk_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ._blocks import Matrix
    from ._matrix import ExpressionMatrix

IN_X = "layer=None means adata.X."  # remedy if a layer is missing


def read_expression(adata: AnnData, layer: str | None) -> Matrix:
    """X or a layer, as a NumPy array or a CSR matrix of numbers in memory.

    Raises
    ------
    KeyError
        If there is no such layer.
    TypeError
        If the matrix is not in memory.
    ValueError
        If there is no matrix, if it holds no numbers, or if gene names repeat.
    """
    matrix = find_expression(adata, layer)
    if not isinstance(matrix, MemoryMatrix):
        msg = (
            f"{_where(layer)} is not in memory. Read some of the samples into memory: "
            "part = adata[rows].to_memory()."
        )
        raise TypeError(msg)
    return matrix.array


def find_expression(adata: AnnData, layer: str | None, *, remedy: str = IN_X) -> ExpressionMatrix:
    """X or a layer, in memory, on disk or in a Dask array.

    Raises
    ------
    KeyError
        If there is no such layer.
    TypeError
        If matrices of this kind are not supported.
    ValueError
        If there is no matrix, if it holds no numbers, or if gene names repeat.
    """
    if not isinstance(adata.obs, pd.DataFrame):
        msg = (
            "adata.obs was opened lazily. Read it first: adata.obs = adata.obs.to_memory(); "
            "adata.var = adata.var.to_memory()."
        )
        raise TypeError(msg)
    check_adata(adata)
    if not adata.var_names.is_unique:
        repeated = adata.var_names[adata.var_names.duplicated()].unique()
        msg = (
            f"{len(repeated):,} gene names occur more than once in adata.var_names "
            f"({examples(repeated)}). Call adata.var_names_make_unique() first."
        )
        raise ValueError(msg)
    if layer is not None and layer not in adata.layers:
        raise unknown_name("Layer", layer, layer_names(adata), remedy)
    where = _where(layer)
    if adata.isbacked and adata.is_view:
        msg = "adata is a view of a file. Call adata = adata.to_memory() first."
        raise TypeError(msg)
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None or 0 in adata.shape:
        msg = f"{where} is empty: {adata.n_obs:,} samples × {adata.n_vars:,} genes."
        raise ValueError(msg)
    found: ExpressionMatrix | None = as_disk_matrix(matrix) or as_dask_matrix(matrix)
    if sparse.issparse(matrix):
        found = MemoryMatrix(matrix.tocsr(), _element(adata))
    elif isinstance(matrix, np.ndarray):
        found = MemoryMatrix(np.asarray(matrix), _element(adata))
    if found is None:
        msg = (
            f"{where} is of a kind that is not supported ({type(matrix).__name__}). "
            "Call adata = adata.to_memory() first."
        )
        raise TypeError(msg)
    if found.dtype.kind not in "biuf":
        msg = f"{where} holds values of type {found.dtype}, not real numbers."
        raise ValueError(msg)
    return found


def _element(adata: AnnData) -> Any:
    """X in the file of an AnnData; None if there is no file."""
    if not adata.isbacked:
        return None
    if not adata.file.is_open:
        adata.file.open()
    has_x = "X" in adata.file
    return adata.file["X"] if has_x else None


def _where(layer: str | None) -> str:
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def layer_names(adata: AnnData) -> list[str]:
    """Names of the layers; anndata 0.13 lists X among them, as None."""
    return [name for name in adata.layers if name is not None]


def read_gene_mask(adata: AnnData, mask_var: str | None) -> np.ndarray:
    """Which genes to use, as a boolean array of n_vars.

    Raises
    ------
    KeyError
        If `mask_var` is no column of `adata.var`.
    ValueError
        If the column is not boolean or marks no gene.
    """
    if mask_var is None:
        return np.ones(adata.n_vars, dtype=bool)
    if mask_var not in adata.var:
        raise unknown_name(
            "Gene mask", mask_var, adata.var.columns, "Mark genes with sp.pp.gene_set."
        )
    column = adata.var[mask_var]
    if column.isna().any() or not pd.api.types.is_bool_dtype(column):
        msg = f"adata.var[{mask_var!r}] must be boolean without gaps, not {column.dtype}."
        raise ValueError(msg)
    mask = column.to_numpy(dtype=bool)
    if not mask.any():
        msg = f"No genes left: adata.var[{mask_var!r}] is False for all {adata.n_vars:,} genes."
        raise ValueError(msg)
    return mask


def match_genes(adata: AnnData, genes: np.ndarray, *, whose: str = "the model") -> np.ndarray:
    """Positions in `adata` of `genes`, by name.

    Raises
    ------
    ValueError
        If a gene is missing.
    """
    positions = adata.var_names.get_indexer(genes)
    if (missing := positions < 0).any():
        msg = (
            f"{missing.sum():,} of the {len(genes):,} genes of {whose} are not in adata.var_names "
            f"(missing: {examples(genes[missing])}; adata has: {examples(adata.var_names[:3])}). "
            "Use the same kind of gene names and all genes that the model was fitted on."
        )
        raise ValueError(msg)
    return positions


def checked_blocks(adata: AnnData, matrix: ExpressionMatrix, genes: np.ndarray) -> Iterator[Matrix]:
    """Blocks of a matrix (all samples × `genes`) whose values are finite.

    Raises
    ------
    ValueError
        At the end, if a value is NaN or infinite.
    """
    bad, first = 0, None
    for rows in blocks(matrix.shape[0]):
        block = matrix[rows]
        if is_finite(block):
            yield block
            continue
        sample, gene = np.nonzero(~(np.abs(dense(block, np.float64)) <= LARGEST))
        bad += len(sample)
        first = first or (rows.start + sample[0], gene[0])
    if first is not None:
        sample_name, gene_name = adata.obs_names[first[0]], adata.var_names[genes[first[1]]]
        msg = (
            f"{bad:,} values are NaN or infinite, first in sample {sample_name!r}, "
            f"gene {gene_name!r}. Fill or remove them first."
        )
        raise ValueError(msg)
