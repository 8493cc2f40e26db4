"""Rows of an expression matrix as scaled tensors, ready for a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scipy import sparse

if TYPE_CHECKING:
    import numpy as np

    from ._expression import Matrix
    from ._scaling import GeneScaler


class ScaledRows:
    """Chosen rows of a matrix; indexing gives them as scaled float32 tensors on a device.

    A dense matrix is scaled once and held on the device; a sparse one stays sparse and is
    densified batch by batch.

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
        self, expression: Matrix, rows: np.ndarray, scaler: GeneScaler, device: torch.device
    ) -> None:
        self._scaler = scaler
        self.device = device
        self._rows: Matrix | torch.Tensor = (
            expression[rows]
            if sparse.issparse(expression)
            else torch.from_numpy(scaler.transform(expression, rows)).to(device)
        )
        self._n_rows = len(rows)

    def __len__(self) -> int:
        return self._n_rows

    @property
    def n_genes(self) -> int:
        """Number of varying genes, the width of the tensors."""
        return int(self._scaler.varying.sum())

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        if isinstance(self._rows, torch.Tensor):
            return self._rows[index]
        block = self._scaler.transform(self._rows, index.cpu().numpy())
        return torch.from_numpy(block).to(self.device)

    def all(self) -> torch.Tensor:
        """All rows at once."""
        return self[torch.arange(len(self), device=self.device)]
