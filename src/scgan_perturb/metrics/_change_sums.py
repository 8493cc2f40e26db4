"""Mean, spread and agreement of changes, from sums over samples."""

from __future__ import annotations

import numpy as np

FIELDS = ("scores", "sds", "shares", "logfoldchanges")


class ChangeSums:
    """Running sums over samples, a number a gene, of the scaled and the unscaled change.

    Parameters
    ----------
    n_genes
        Number of genes.
    """

    def __init__(self, n_genes: int) -> None:
        self.n = 0
        self.scaled, self.squares, self.up, self.down, self.change = np.zeros((5, n_genes))

    def add(self, scaled: np.ndarray, change: np.ndarray) -> None:
        """Count in samples × genes."""
        self.n += len(scaled)
        self.scaled += scaled.sum(axis=0, dtype=np.float64)
        self.squares += np.square(scaled, dtype=np.float64).sum(axis=0)
        self.up += (scaled > 0).sum(axis=0)
        self.down += (scaled < 0).sum(axis=0)
        self.change += change.sum(axis=0, dtype=np.float64)

    def table(self, genes: np.ndarray) -> dict[str, np.ndarray]:
        """Columns by name, for the genes at these positions."""
        mean = self.scaled / self.n
        with np.errstate(invalid="ignore"):  # one sample has no spread: 0 / 0
            variance = (self.squares - self.n * mean**2).clip(0) / np.float64(self.n - 1)
        share = np.where(mean > 0, self.up, np.where(mean < 0, self.down, 0)) / self.n
        columns = (mean, np.sqrt(variance), share, self.change / self.n)
        return {name: column[genes] for name, column in zip(FIELDS, columns, strict=True)}
