"""Samples of known classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Samples:
    """Samples of known classes.

    Parameters
    ----------
    rows
        The samples.
    labels
        Position of the class of each, on the device.
    """

    rows: Rows
    labels: torch.Tensor

    def at(self, index: torch.Tensor) -> Samples:
        """The samples at these positions."""
        return Samples(ChosenRows(self.rows, index), self.labels[index])


class Rows(Protocol):
    """Scaled samples by position, as :class:`ScaledRows` offers them."""

    device: torch.device

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        """Samples × genes."""

    @property
    def n_genes(self) -> int:
        """Width of the samples."""


class ChosenRows:
    """Some rows of others."""

    def __init__(self, rows: Rows, index: torch.Tensor) -> None:
        self._rows, self._index, self.device = rows, index, rows.device

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        return self._rows[self._index[index.to(self._index.device)]]

    @property
    def n_genes(self) -> int:
        """Width of the samples."""
        return self._rows.n_genes
