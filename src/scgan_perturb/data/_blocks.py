"""Blocks of consecutive samples, in memory: dense or CSR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

Matrix: TypeAlias = "np.ndarray | sparse.csr_matrix | sparse.csr_array"
BLOCK_ROWS = 1024
LARGEST = np.finfo(np.float32).max


def blocks(rows: int | slice, size: int = BLOCK_ROWS) -> Iterator[slice]:
    """Slices that cover so many rows, or those of a slice, `size` at a time."""
    first, last = (rows.start, rows.stop) if isinstance(rows, slice) else (0, rows)
    for start in range(first, last, size):
        yield slice(start, min(start + size, last))


def dense(block: Matrix, dtype: type[np.floating[Any]] = np.float32) -> np.ndarray:
    """A block as a dense float32 array; a dense float32 one is returned as it is."""
    array = np.asarray(block) if isinstance(block, np.ndarray) else block.toarray()
    return array.astype(dtype, copy=False)


def is_finite(block: Matrix) -> bool:
    """Whether no value is NaN, infinite or beyond what float32 holds."""
    values = np.asarray(block.data if sparse.issparse(block) else block)
    # NaN is neither below nor above: minimum and maximum pass it on. No array is made.
    return not values.size or bool(values.min() >= -LARGEST and values.max() <= LARGEST)


def has_all_genes(genes: np.ndarray, n_genes: int) -> bool:
    """Whether positions of genes are those of all columns in order."""
    return len(genes) == n_genes and bool((genes == np.arange(n_genes)).all())


def select_genes(block: Matrix, genes: np.ndarray) -> Matrix:
    """The columns at these positions, without a copy if these are all columns in order."""
    return block if has_all_genes(genes, block.shape[1]) else block[:, genes]


def stacked(blocks: list[Matrix]) -> Matrix:
    """Blocks of consecutive samples as one."""
    return (
        np.concatenate(blocks)
        if isinstance(blocks[0], np.ndarray)
        else sparse.vstack(blocks, format="csr")
    )
