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

HELD_SHARE = 0.5  # of a GPU's free memory: networks and what is between them need the rest


class ScaledRows:
    """Chosen rows of a matrix; indexing gives them as scaled float32 tensors on a device.

    On the CPU the matrix stays as it is, sparse or dense, and each batch is scaled by itself. On
    another device rows that are in memory are scaled once and held there, if there is room. Rows that
    are not in memory are read when they are asked for, or before by :meth:`hold`.

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
        if len(rows) and not isinstance(expression, ELSEWHERE) and self._has_room():
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
        """Whether all rows are on the device, so that no batch is waited for."""
        return self._held is not None

    def _has_room(self) -> bool:
        """Whether the device may hold all rows, dense."""
        if self.device.type != "cuda":
            # Others do not say what is free, and may share it with the matrix.
            return self.device.type != "cpu" and isinstance(self._expression, np.ndarray)
        free, _ = torch.cuda.mem_get_info(self.device)
        return 4 * len(self) * self.n_genes <= HELD_SHARE * free

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
