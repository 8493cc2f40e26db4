"""Counts as numbers without gaps, which have quantiles as other values do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..estimates._lattice import BLOCK, find_counts, find_sizes
from ._draws import BLUR, keys_of, stream_of, uniform

if TYPE_CHECKING:
    from ..estimates._lattice import Lattice
    from ..estimates._samples import Rows

# How fast the density falls within a count: chosen on inner validation samples of two data sets.
RATE = 2.0
GAP = 1e-4  # rounding of a logarithm and back, in counts


def blurred(counts: torch.Tensor, keys: torch.Tensor, first_gene: int = 0) -> torch.Tensor:
    """Logarithms of 1 + a number above k - 1 and up to k, for counts k of samples × genes.

    A count stands for an interval, within which a number is drawn from an exponential
    distribution: there are more low counts than high ones. 0 stays 0.
    """
    sample, gene = (counts > 0).nonzero(as_tuple=True)
    u = uniform(keys[sample], gene + first_gene, stream_of(0, 0, BLUR))
    part = (u * torch.expm1(u.new_tensor(-RATE))).log1p_().div_(-RATE)
    values = torch.zeros_like(counts)
    values[sample, gene] = (counts[sample, gene] - 1 + part).log1p_()
    return values


def sharpened(values: torch.Tensor) -> torch.Tensor:
    """The counts of blurred ones, of which none is 0."""
    return (values.expm1() - GAP).ceil_().clamp_min_(1)


class CountedRows:
    """The blurred counts of scaled rows, as estimates read them."""

    def __init__(self, rows: Rows, lattice: Lattice) -> None:
        self._rows, self._lattice = rows, lattice
        self.device, self.n_genes = rows.device, rows.n_genes
        blocks = torch.arange(len(rows), device=rows.device).split(BLOCK)
        found = [(find_sizes(lattice, x), keys_of(x)) for x in map(rows.__getitem__, blocks)]
        self._sizes, self._keys = (torch.cat(parts) for parts in zip(*found, strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        counts = find_counts(self._lattice, self._rows[index], self._sizes[index])
        return blurred(counts, self._keys[index])

    def columns(self, genes: slice) -> torch.Tensor:
        """Some genes of all rows."""
        counts = find_counts(self._lattice, self._rows.columns(genes), self._sizes, genes)
        return blurred(counts, self._keys, genes.start or 0)
