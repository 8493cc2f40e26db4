"""Expression matrices that stay on disk: read a few samples at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import zarr
from scipy import sparse

from ._matrix import ExpressionMatrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._blocks import Matrix

ARRAYS = (h5py.Dataset, zarr.Array)
READ_VALUES, MOST_ROWS = 2**24, 4096  # of one read, at most, zeros included
LEAST_GAP = 16  # samples; starting a read takes as long as reading so many


class DiskMatrix(ExpressionMatrix):
    """Samples × genes of an h5ad or zarr file, dense or CSR.

    One read covers rows that are near each other and all rows between them: a few long reads are
    faster than many short ones.

    Parameters
    ----------
    element
        The array in the file, or the group of a CSR matrix; of h5py or zarr.
    genes
        Positions of the columns to offer; None for all.
    """

    def __init__(self, element: Any, genes: np.ndarray | None = None) -> None:
        self.element, self._genes = element, genes
        self.is_sparse = not isinstance(element, ARRAYS)
        values = element["data"] if self.is_sparse else element
        self.dtype: np.dtype[Any] = values.dtype
        # Files of anndata 0.6 name the shape otherwise.
        n_rows, n_columns = (ad.io.sparse_dataset(element) if self.is_sparse else element).shape
        self._n_columns = int(n_columns)
        self.shape = (int(n_rows), self._n_columns if genes is None else len(genes))
        if self.is_sparse:
            self._values, self._columns = values, element["indices"]
            self._starts = np.asarray(element["indptr"][:])
        self._most = int(np.clip(READ_VALUES // max(self._n_columns, 1), 1, MOST_ROWS))
        self._gap = max(self._rows_a_chunk(values), LEAST_GAP)

    def _rows_a_chunk(self, values: Any) -> int:
        """Samples that the file stores in one chunk, which is read as a whole."""
        size = values.chunks[0] if values.chunks else 1
        if not self.is_sparse:
            return size
        return size * self.shape[0] // max(int(self._starts[-1]), 1)

    def _select(self, genes: np.ndarray) -> DiskMatrix:
        return DiskMatrix(self.element, genes if self._genes is None else self._genes[genes])

    def _read(self, rows: np.ndarray) -> Matrix:
        return self._read_csr(rows) if self.is_sparse else self._read_dense(rows)

    def _runs(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Sorted rows in runs that are read at once, each with its span among the rows."""
        is_far = np.diff(rows) > self._gap
        is_beyond = np.diff(rows // self._most) > 0
        ends = [0, *(np.flatnonzero(is_far | is_beyond) + 1), len(rows)]
        for start, stop in pairwise(ends):
            if stop > start:
                yield slice(start, stop), rows[start:stop]

    def _read_dense(self, rows: np.ndarray) -> np.ndarray:
        block = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for span, run in self._runs(rows):
            values = np.asarray(self.element[int(run[0]) : int(run[-1]) + 1])
            values = values if len(values) == len(run) else values[run - run[0]]
            block[span] = values if self._genes is None else values[:, self._genes]
        return block

    def _read_csr(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Read CSR rows into arrays of the final size, so that no value is copied twice.

        The reader of anndata takes five to twenty times as long.
        """
        sizes = self._starts[rows + 1] - self._starts[rows]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        values = np.empty(starts[-1], dtype=self.dtype)
        columns = np.empty(starts[-1], dtype=self._columns.dtype)
        for span, run in self._runs(rows):
            first, stop = int(run[0]), int(run[-1]) + 1
            is_wanted = np.zeros(stop - first, dtype=bool)
            is_wanted[run - first] = True
            kept = np.repeat(is_wanted, np.diff(self._starts[first : stop + 1]))
            stored = slice(int(self._starts[first]), int(self._starts[stop]))
            target = slice(starts[span.start], starts[span.stop])
            np.compress(kept, self._values[stored], out=values[target])
            np.compress(kept, self._columns[stored], out=columns[target])
        shape = len(rows), self._n_columns
        block = sparse.csr_matrix((values, columns, starts), shape=shape)
        return block if self._genes is None else block[:, self._genes]


def as_disk_matrix(matrix: object) -> DiskMatrix | None:
    """A matrix on disk as anndata opens it; None for any other matrix.

    Raises
    ------
    TypeError
        If the matrix is stored by genes: reading one sample would read the whole matrix.
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
