"""Expression matrices that stay on disk: read a few samples at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import zarr
from scipy import sparse

if TYPE_CHECKING:
    from ._expression import Matrix

ARRAYS = (h5py.Dataset, zarr.Array)
READ_VALUES, MOST_ROWS = 2**24, 4096  # of one read, at most, zeros included
LEAST_GAP = 16  # samples; a read takes as long as so many more


class DiskMatrix:
    """Samples × genes of an h5ad or zarr file, dense or CSR; indexing with rows reads these.

    Rows may be a slice, positions in any order, or a mask. What lies between rows that are near
    each other is read along, for few long reads are faster than many short ones.

    Parameters
    ----------
    element
        The array in the file, or the group of a CSR matrix; of h5py or zarr.
    genes
        Positions of the columns to offer; None for all.
    """

    def __init__(self, element: Any, genes: np.ndarray | None = None) -> None:
        self.element, self._genes = element, genes
        self._is_sparse = not isinstance(element, ARRAYS)
        values = element["data"] if self._is_sparse else element
        self.dtype: np.dtype[Any] = values.dtype
        n_rows, n_columns = element.attrs["shape"] if self._is_sparse else element.shape
        self._n_columns = int(n_columns)
        self.shape = (int(n_rows), self._n_columns if genes is None else len(genes))
        if self._is_sparse:
            self._values, self._columns = values, element["indices"]
            self._starts = np.asarray(element["indptr"][:])
        self._most = int(np.clip(READ_VALUES // max(self._n_columns, 1), 1, MOST_ROWS))
        self._gap = max(self._rows_a_chunk(values), LEAST_GAP)

    def _rows_a_chunk(self, values: Any) -> int:
        """Samples that a file gives together, whether wanted or not."""
        size = values.chunks[0] if values.chunks else 1
        if not self._is_sparse:
            return size
        return size * self.shape[0] // max(int(self._starts[-1]), 1)

    def select(self, genes: np.ndarray) -> DiskMatrix:
        """The columns at these positions."""
        return DiskMatrix(self.element, genes if self._genes is None else self._genes[genes])

    def __getitem__(self, rows: slice | np.ndarray) -> Matrix:
        if isinstance(rows, slice):
            rows = np.arange(self.shape[0])[rows]
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        wanted, places = np.unique(rows, return_inverse=True)
        blocks = [self._read(run) for run in self._runs(wanted)]
        block = blocks[0] if len(blocks) == 1 else stacked(blocks)
        return block if np.array_equal(wanted, rows) else block[places]

    def _runs(self, wanted: np.ndarray) -> list[np.ndarray]:
        """Sorted rows, in parts that are read at once."""
        is_far = np.diff(wanted) > self._gap
        is_beyond = np.diff(wanted // self._most) > 0
        return np.split(wanted, np.flatnonzero(is_far | is_beyond) + 1)

    def _read(self, run: np.ndarray) -> Matrix:
        """Read from the first row to the last, and keep those that are wanted."""
        if len(run) == 0:
            return self._span(0, 0)
        first, last = int(run[0]), int(run[-1])
        block = self._span(first, last + 1)
        return block if len(run) == last + 1 - first else block[run - first]

    def _span(self, start: int, stop: int) -> Matrix:
        # anndata's own reading of CSR rows takes five to twenty times as long.
        if not self._is_sparse:
            block = np.asarray(self.element[start:stop])
        else:
            low, high = int(self._starts[start]), int(self._starts[stop])
            parts = self._values[low:high], self._columns[low:high]
            starts = self._starts[start : stop + 1] - low
            block = sparse.csr_matrix((*parts, starts), shape=(stop - start, self._n_columns))
        return block if self._genes is None else block[:, self._genes]


def stacked(blocks: list[Matrix]) -> Matrix:
    """Blocks of consecutive samples as one."""
    return (
        np.concatenate(blocks)
        if isinstance(blocks[0], np.ndarray)
        else sparse.vstack(blocks, format="csr")
    )


def as_disk_matrix(matrix: object) -> DiskMatrix | None:
    """What anndata gives for a matrix on disk; None for any other.

    Raises
    ------
    TypeError
        If it is stored by genes, so that reading a sample would mean to read all.
    """
    if isinstance(matrix, ad.abc.CSCDataset):
        msg = (
            "The matrix on disk is stored by genes (CSC): a sample cannot be read without reading "
            "all. Write it as CSR: adata = adata.to_memory(); adata.X = adata.X.tocsr(); "
            "adata.write_h5ad(path)."
        )
        raise TypeError(msg)
    if isinstance(matrix, ad.abc.CSRDataset):
        return DiskMatrix(matrix.group)
    return DiskMatrix(matrix) if isinstance(matrix, ARRAYS) else None
