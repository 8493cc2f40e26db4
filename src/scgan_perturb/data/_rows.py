"""Rows of an expression matrix as scaled tensors, ready for a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ._blocks import blocks, select_genes
from ._matrix import ExpressionMatrix, MemoryMatrix
from ._scaling import GeneScaler
from ._tensor_scaler import TensorScaler

if TYPE_CHECKING:
    from ._blocks import Matrix

HELD_SHARE = 0.5  # of a GPU's free memory: networks and what is between them need the rest


class ScaledRows:
    """Chosen rows of a matrix; indexing gives scaled float32 tensors on a device.

    On the CPU each batch is scaled when it is read. Another device holds all rows, scaled once, if
    they are in memory and the device has room. Rows that are not in memory are read by the batch,
    or many at once by :meth:`hold`.

    Parameters
    ----------
    expression
        Samples × genes in input units.
    rows
        Positions of the rows.
    scaler
        Range of each gene; the tensors hold the varying genes only.
    device
        Device of the tensors.
    """

    def __init__(
        self,
        expression: ExpressionMatrix | Matrix,
        rows: np.ndarray,
        scaler: GeneScaler,
        device: torch.device,
    ) -> None:
        if not isinstance(expression, ExpressionMatrix):
            expression = MemoryMatrix(expression)
        self._expression = expression
        self._rows, self.device = rows, device
        self._ranges, self._scaler = scaler, TensorScaler(scaler, device)
        self._read: tuple[np.ndarray, Matrix] | None = None
        self._held: torch.Tensor | None = None
        if len(rows) and self._expression.in_memory and self._has_room():
            self._held = torch.empty(len(rows), self.n_genes, device=device)
            for block in blocks(len(rows)):
                self._held[block] = self._scaled(rows[block])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def n_genes(self) -> int:
        """Number of varying genes, the width of the tensors."""
        return self._scaler.n_genes

    @property
    def is_held(self) -> bool:
        """Whether the device holds all rows."""
        return self._held is not None

    def _has_room(self) -> bool:
        """Whether the device may hold all rows, dense."""
        if self.device.type != "cuda":
            # Other devices do not report their free memory, and may share it with the matrix.
            return self.device.type != "cpu" and not self._expression.is_sparse
        free, _ = torch.cuda.mem_get_info(self.device)
        return 4 * len(self) * self.n_genes <= HELD_SHARE * free

    def hold(self, index: torch.Tensor) -> None:
        """Read the rows of the next batches at once, and forget rows read before."""
        if not self._expression.in_memory:
            self._read = None
            rows = np.unique(self._rows[index.cpu().numpy()])
            self._read = rows, self._expression[rows]

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        if self._held is not None:
            return self._held[index]
        return self._scaled(self._rows[index.cpu().numpy()])

    def _scaled(self, rows: np.ndarray) -> torch.Tensor:
        return self._scaler.scale(self._at(rows))

    def _at(self, rows: np.ndarray) -> Matrix:
        if self._read is not None:
            held, expression = self._read
            positions = np.searchsorted(held, rows).clip(max=len(held) - 1)
            if (held[positions] == rows).all():
                return expression[positions]
        return self._expression[rows]

    def columns(self, genes: slice) -> torch.Tensor:
        """Some of the varying genes of all rows."""
        if self._held is not None:
            return self._held[:, genes]
        positions = np.flatnonzero(self._ranges.varying)[genes]
        ranges = GeneScaler(self._ranges.minimum[positions], self._ranges.maximum[positions])
        block = select_genes(self._ranges.normalise(self._at(self._rows)), positions)
        return TensorScaler(ranges, self.device).scale(block)

    def all(self) -> torch.Tensor:
        """All rows at once."""
        return self[torch.arange(len(self), device=self.device)]
