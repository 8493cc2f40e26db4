"""Expression matrices that are Dask arrays: what is asked of them is computed where Dask computes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ._blocks import stacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._blocks import Matrix

FAN_IN = 8  # results that are merged at a time


class DaskMatrix:
    """Samples × genes as a Dask array of dense or CSR blocks; indexing with rows computes these.

    Parameters
    ----------
    array
        The Dask array.
    """

    def __init__(self, array: Any) -> None:
        self.array = array.rechunk({1: -1}) if array.numblocks[1] > 1 else array
        self.shape: tuple[int, int] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        if np.isnan(self.shape).any():
            msg = "The chunks of the Dask array have no known size: call compute_chunk_sizes()."
            raise ValueError(msg)
        self._starts = np.cumsum([0, *self.array.chunks[0]])

    def select(self, genes: np.ndarray) -> DaskMatrix:
        """The columns at these positions."""
        return DaskMatrix(self.array[:, genes])

    @property
    def parts(self) -> list[tuple[slice, Any]]:
        """The blocks, delayed, with their rows."""
        starts = self._starts.tolist()
        rows = [slice(*ends) for ends in pairwise(starts)]
        return list(zip(rows, self.array.to_delayed()[:, 0], strict=True))

    def __getitem__(self, rows: slice | np.ndarray) -> Matrix:
        import dask  # noqa: PLC0415 (only where there is a Dask array)

        if isinstance(rows, slice):
            rows = np.arange(self.shape[0])[rows]
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        wanted, places = np.unique(rows, return_inverse=True)
        own = np.split(wanted, np.searchsorted(wanted, self._starts[1:-1]))
        take = dask.delayed(_take)
        chosen = [
            take(block, part - span.start)
            for part, (span, block) in zip(own, self.parts, strict=True)
            if len(part)
        ]
        # Of no rows, the block still has columns and a type.
        chosen = chosen or [take(self.parts[0][1], wanted)]
        block = stacked(list(dask.compute(*chosen)))
        return block if np.array_equal(wanted, rows) else block[places]

    def reduce(
        self,
        function: Callable[..., Any],
        merge: Callable[[list[Any]], Any],
        *by_row: np.ndarray,
        **others: object,
    ) -> Any:
        """Call a function for each block, where Dask computes, and merge the results in order.

        Parameters
        ----------
        function
            Takes a block, the values of `by_row` of its rows, and `others`.
        merge
            Takes consecutive results, of the function or of itself.
        *by_row
            Arrays with a value for each sample.
        **others
            What each call is given.
        """
        import dask  # noqa: PLC0415 (only where there is a Dask array)

        call, join = dask.delayed(function, pure=False), dask.delayed(merge, pure=False)
        given = {name: dask.delayed(value, traverse=False) for name, value in others.items()}
        results = [
            call(block, *(values[rows] for values in by_row), **given) for rows, block in self.parts
        ]
        while len(results) > 1:
            results = [join(results[i : i + FAN_IN]) for i in range(0, len(results), FAN_IN)]
        return results[0].compute()

    def map(
        self, function: Callable[..., np.ndarray], *by_row: np.ndarray, **others: object
    ) -> Any:
        """A Dask array, float32 and of the same shape, of what a function makes of each block."""
        import dask  # noqa: PLC0415 (only where there is a Dask array)
        import dask.array as da  # noqa: PLC0415

        call = dask.delayed(function, pure=False)
        given = {name: dask.delayed(value, traverse=False) for name, value in others.items()}
        return da.concatenate(
            [
                da.from_delayed(
                    call(block, *(values[rows] for values in by_row), **given),
                    (rows.stop - rows.start, self.shape[1]),
                    dtype=np.float32,
                )
                for rows, block in self.parts
            ]
        )


def _take(block: Any, rows: np.ndarray) -> Any:
    return block[rows]


def as_dask_matrix(matrix: object) -> DaskMatrix | None:
    """A Dask array as such a matrix; None for anything else."""
    if not type(matrix).__module__.startswith("dask.array"):
        return None
    return DaskMatrix(matrix)
