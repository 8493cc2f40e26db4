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


class Rows(Protocol):
    """Scaled samples by position; :class:`ScaledRows` is one."""

    device: torch.device

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        """Samples × genes."""

    def columns(self, genes: slice) -> torch.Tensor:
        """Some genes of all samples."""

    @property
    def n_genes(self) -> int:
        """Number of genes."""
