"""Samples of known classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Samples:
    """Samples of known classes."""

    rows: Rows
    labels: torch.Tensor  # position of each sample's class, on the device

    def at(self, index: torch.Tensor) -> Samples:
        """The samples at these positions."""
        return Samples(ChosenRows(self.rows, index), self.labels[index])


class Rows(Protocol):
    """Scaled samples by position; :class:`ScaledRows` is one."""

    device: torch.device

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        """Samples × genes."""

    @property
    def n_genes(self) -> int:
        """Number of genes."""


class ChosenRows:
    """A subset of rows."""

    def __init__(self, rows: Rows, index: torch.Tensor) -> None:
        self._rows, self._index, self.device = rows, index, rows.device

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        return self._rows[self._index[index.to(self._index.device)]]

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self._rows.n_genes
