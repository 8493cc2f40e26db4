"""Expression matrices in Dask arrays: Dask's workers compute."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ._blocks import stacked
from ._matrix import ExpressionMatrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_fabric import Fabric

    from ._blocks import Matrix

FAN_IN = 8  # results in one merge


class DaskMatrix(ExpressionMatrix):
    """Samples × genes as a Dask array of dense or CSR blocks.

    Parameters
    ----------
    array
        The Dask array.
    """

    is_lazy = True

    def __init__(self, array: Any) -> None:
        self.array = array.rechunk({1: -1}) if array.numblocks[1] > 1 else array
        self.shape, self.dtype = array.shape, array.dtype
        self.is_sparse = sparse.issparse(array._meta)
        if np.isnan(self.shape).any():
            msg = "The chunks of the Dask array have no known size: call compute_chunk_sizes()."
            raise ValueError(msg)
        self._starts = np.cumsum([0, *self.array.chunks[0]])

    def _select(self, genes: np.ndarray) -> DaskMatrix:
        return DaskMatrix(self.array[:, genes])

    @property
    def _blocks(self) -> list[tuple[slice, Any]]:
        """The rows of each block, and the block, delayed."""
        rows = [slice(*ends) for ends in pairwise(self._starts.tolist())]
        return list(zip(rows, self.array.to_delayed()[:, 0], strict=True))

    def _read(self, rows: np.ndarray) -> Matrix:
        import dask  # noqa: PLC0415 (only where there is a Dask array)

        take = dask.delayed(_take)
        rows_of_blocks = np.split(rows, np.searchsorted(rows, self._starts[1:-1]))
        parts = [
            take(block, chosen - span.start)
            for chosen, (span, block) in zip(rows_of_blocks, self._blocks, strict=True)
            if len(chosen)
        ]
        # Without rows, the result still has columns and a type.
        parts = parts or [take(self._blocks[0][1], rows)]
        return stacked(list(dask.compute(*parts)))

    def _calls(
        self, function: Callable[..., Any], by_row: tuple[np.ndarray, ...], others: dict[str, Any]
    ) -> list[tuple[slice, Any]]:
        """The rows of each block, and the function of the block, delayed."""
        import dask  # noqa: PLC0415 (only where there is a Dask array)

        call = dask.delayed(function, pure=False)
        others = {name: dask.delayed(value, traverse=False) for name, value in others.items()}
        return [
            (rows, call(block, *(values[rows] for values in by_row), **others))
            for rows, block in self._blocks
        ]

    def reduce(
        self,
        function: Callable[..., Any],
        merge: Callable[[list[Any]], Any],
        *by_row: np.ndarray,
        fabric: Fabric,  # noqa: ARG002 (Dask's workers compute)
        **others: object,
    ) -> Any:
        """Call a function for each block on a Dask worker, and merge the results in order."""
        import dask  # noqa: PLC0415 (only where there is a Dask array)

        join = dask.delayed(merge, pure=False)
        results = [result for _, result in self._calls(function, by_row, others)]
        while len(results) > 1:
            results = [join(results[i : i + FAN_IN]) for i in range(0, len(results), FAN_IN)]
        return results[0].compute()

    def map(
        self,
        function: Callable[..., Matrix],
        *by_row: np.ndarray,
        is_sparse: bool,
        **others: object,
    ) -> Any:
        """A Dask array, float32 and of the same shape: the function of each block.

        The function is told whether to return a CSR matrix.
        """
        import dask.array as da  # noqa: PLC0415 (only where there is a Dask array)

        meta: Matrix = np.empty((0, 0), dtype=np.float32)
        meta = sparse.csr_matrix(meta) if is_sparse else meta
        others |= {"is_sparse": is_sparse}
        return da.concatenate(
            [
                da.from_delayed(result, (rows.stop - rows.start, self.shape[1]), meta=meta)
                for rows, result in self._calls(function, by_row, others)
            ]
        )


def _take(block: Any, rows: np.ndarray) -> Any:
    return block[rows]


def as_dask_matrix(matrix: object) -> DaskMatrix | None:
    """A Dask array as a matrix; None for any other object."""
    if not type(matrix).__module__.startswith("dask.array"):
        return None
    return DaskMatrix(matrix)
