"""One interface to an expression matrix in memory, on disk or in a Dask array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ..engine._processes import gather_objects, part
from ._blocks import blocks, has_all_genes, select_genes

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_fabric import Fabric

    from ._blocks import Matrix


class ExpressionMatrix(ABC):
    """Samples × genes, wherever they are stored. Index with rows to read a block into memory.

    Rows are a slice, positions in any order, or a mask.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    in_memory = False
    is_sparse = False  # blocks are CSR
    is_lazy = False  # a value is computed each time it is read
    element: Any = None  # the array or group in the file of the samples; None if there is no file

    def select(self, genes: np.ndarray) -> ExpressionMatrix:
        """The columns at these positions; the matrix itself if these are all columns in order."""
        return self if has_all_genes(genes, self.shape[1]) else self._select(genes)

    def __getitem__(self, rows: slice | np.ndarray) -> Matrix:
        if isinstance(rows, slice):
            rows = np.arange(self.shape[0])[rows]
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        ordered, index = np.unique(rows, return_inverse=True)
        block = self._read(ordered)
        return block if np.array_equal(ordered, rows) else block[index]

    @abstractmethod
    def _select(self, genes: np.ndarray) -> ExpressionMatrix:
        """The columns at these positions."""

    @abstractmethod
    def _read(self, rows: np.ndarray) -> Matrix:
        """A block of the rows at these positions, which are sorted and differ."""

    def reduce(
        self,
        function: Callable[..., Any],
        merge: Callable[[list[Any]], Any],
        *by_row: np.ndarray,
        fabric: Fabric,
        **others: object,
    ) -> Any:
        """Call a function for each block, and merge the results in order.

        Each process reads its part of the samples; all processes get the result.

        Parameters
        ----------
        function
            Takes a block, the values of `by_row` for its rows, and `others`.
        merge
            Takes consecutive results of the function or of itself.
        *by_row
            Arrays with a value for each sample.
        fabric
            The processes.
        **others
            Further arguments of each call.
        """
        rows = part(fabric, self.shape[0])
        results = (
            function(self[block], *(values[block] for values in by_row), **others)
            for block in list(blocks(rows)) or [rows]
        )
        return merge(gather_objects(fabric, reduce(lambda *pair: merge(list(pair)), results)))


class MemoryMatrix(ExpressionMatrix):
    """Samples × genes in memory, dense or CSR.

    Parameters
    ----------
    array
        The array or CSR matrix.
    element
        X in the file, if the matrix is a layer in memory of an AnnData in a file.
    """

    in_memory = True

    def __init__(self, array: Matrix, element: Any = None) -> None:
        self.array, self.element = array, element
        self.shape, self.dtype = array.shape, array.dtype
        self.is_sparse = sparse.issparse(array)

    def __getitem__(self, rows: slice | np.ndarray) -> Matrix:
        return self.array[rows]

    def _select(self, genes: np.ndarray) -> MemoryMatrix:
        return MemoryMatrix(select_genes(self.array, genes), self.element)

    def _read(self, rows: np.ndarray) -> Matrix:
        return self.array[rows]
