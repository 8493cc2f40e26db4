"""Rows of a tensor, as estimates and training loops read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Rows:
    """What `ScaledRows` offers, for a tensor that is scaled already."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x, self.device, self.n_genes = x, x.device, x.shape[1]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        return self.x[index]

    def columns(self, genes: slice) -> torch.Tensor:
        return self.x[:, genes]
