"""Rows of an expression matrix as scaled tensors, ready for a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ._blocks import blocks
from ._expression import ELSEWHERE
from ._tensor_scaler import TensorScaler

if TYPE_CHECKING:
    from ._blocks import Matrix
    from ._expression import Expression
    from ._scaling import GeneScaler


class ScaledRows:
    """Chosen rows of a matrix; indexing gives them as scaled float32 tensors on a device.

    On the CPU the matrix stays as it is, sparse or dense, and each batch is scaled by itself. On
    another device a dense one is scaled once and held there. Rows that are not in memory are read when
    they are asked for, or before by :meth:`hold`.

    Parameters
    ----------
    expression
        Samples × genes in input units.
    rows
        Positions of the rows to offer.
    scaler
        Range of each gene; the tensors hold its varying genes only.
    device
        Where the tensors are put.
    """

    def __init__(
        self, expression: Expression, rows: np.ndarray, scaler: GeneScaler, device: torch.device
    ) -> None:
        self._expression, self._rows, self.device = expression, rows, device
        self._scaler = TensorScaler(scaler, device)
        self._read: tuple[np.ndarray, Matrix] | None = None
        self._held: torch.Tensor | None = None
        if device.type != "cpu" and isinstance(expression, np.ndarray) and len(rows):
            self._held = torch.cat([self._scaled(rows[block]) for block in blocks(len(rows))])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def n_genes(self) -> int:
        """Number of varying genes, the width of the tensors."""
        return self._scaler.n_genes

    @property
    def is_held(self) -> bool:
        """Whether all rows are on the device, so that no batch is waited for."""
        return self._held is not None

    def hold(self, index: torch.Tensor) -> None:
        """Read rows at once, of which the next batches are; those read before go."""
        if isinstance(self._expression, ELSEWHERE):
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
            places = np.searchsorted(held, rows).clip(max=len(held) - 1)
            if (held[places] == rows).all():
                return expression[places]
        return self._expression[rows]

    def all(self) -> torch.Tensor:
        """All rows at once."""
        return self[torch.arange(len(self), device=self.device)]
