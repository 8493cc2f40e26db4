"""Expression matrices that stay on disk: read a few samples at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import zarr
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._blocks import Matrix

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
        block = self._read_csr(wanted) if self._is_sparse else self._read_dense(wanted)
        return block if np.array_equal(wanted, rows) else block[places]

    def _runs(self, wanted: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Sorted rows, in parts that are read at once, each with its place among them."""
        is_far = np.diff(wanted) > self._gap
        is_beyond = np.diff(wanted // self._most) > 0
        ends = [0, *(np.flatnonzero(is_far | is_beyond) + 1), len(wanted)]
        for start, stop in pairwise(ends):
            if stop > start:
                yield slice(start, stop), wanted[start:stop]

    def _read_dense(self, wanted: np.ndarray) -> np.ndarray:
        read = np.empty((len(wanted), self.shape[1]), dtype=self.dtype)
        for place, run in self._runs(wanted):
            span = np.asarray(self.element[int(run[0]) : int(run[-1]) + 1])
            rows = span if len(span) == len(run) else span[run - run[0]]
            read[place] = rows if self._genes is None else rows[:, self._genes]
        return read

    def _read_csr(self, wanted: np.ndarray) -> sparse.csr_matrix:
        """Read CSR rows into arrays of the size that they take, so that none is copied twice.

        anndata's own reading takes five to twenty times as long.
        """
        sizes = self._starts[wanted + 1] - self._starts[wanted]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        values = np.empty(starts[-1], dtype=self.dtype)
        columns = np.empty(starts[-1], dtype=self._columns.dtype)
        for place, run in self._runs(wanted):
            first, stop = int(run[0]), int(run[-1]) + 1
            is_wanted = np.zeros(stop - first, dtype=bool)
            is_wanted[run - first] = True
            kept = np.repeat(is_wanted, np.diff(self._starts[first : stop + 1]))
            span = slice(int(self._starts[first]), int(self._starts[stop]))
            into = slice(starts[place.start], starts[place.stop])
            np.compress(kept, self._values[span], out=values[into])
            np.compress(kept, self._columns[span], out=columns[into])
        shape = len(wanted), self._n_columns
        block = sparse.csr_matrix((values, columns, starts), shape=shape)
        return block if self._genes is None else block[:, self._genes]


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
