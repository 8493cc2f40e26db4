"""Per-gene scaling to [0, 1] with the range of the training samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from ._blocks import blocks, dense
from ._counts import counts_of, depths, normalised

if TYPE_CHECKING:
    from ._blocks import Matrix


@dataclass(frozen=True)
class GeneScaler:
    """Scales genes to [0, 1] and back; genes that never vary in training are left out.

    Parameters
    ----------
    minimum, maximum
        Range of each gene over the training samples, in input units, float32 of n_genes. Of counts
        the range after normalisation.
    is_count
        Whether the input is counts, which are normalised first.
    """

    minimum: np.ndarray
    maximum: np.ndarray
    is_count: bool = False

    @classmethod
    def fit(cls, expression: Matrix, rows: np.ndarray) -> GeneScaler:
        """Take the ranges from the given rows (positions), in blocks."""
        return reduce(cls.widened, map(cls.of, (expression[rows[b]] for b in blocks(len(rows)))))

    @classmethod
    def of(cls, block: Matrix, *, is_count: bool = False) -> GeneScaler:
        """The ranges of one block of samples."""
        block = normalised(block) if is_count else block
        low, high = block.min(axis=0), block.max(axis=0)
        return cls(dense(low).ravel(), dense(high).ravel(), is_count)

    def normalise(self, block: Matrix) -> Matrix:
        """Samples × all genes in input units as they are scaled: counts normalised."""
        return normalised(block) if self.is_count else block

    def widened(self, other: GeneScaler) -> GeneScaler:
        """The ranges over the samples of both."""
        low, high = np.minimum(self.minimum, other.minimum), np.maximum(self.maximum, other.maximum)
        return GeneScaler(low, high, self.is_count)

    @property
    def varying(self) -> np.ndarray:
        """Boolean array of n_genes: which genes vary over the training samples."""
        return self.maximum > self.minimum

    def transform(self, expression: Matrix, rows: np.ndarray | None = None) -> np.ndarray:
        """Scale and clip all rows, or those at `rows`: float32, samples × varying genes."""
        rows = np.arange(expression.shape[0]) if rows is None else rows
        varying = self.varying
        low, span = self.minimum[varying], (self.maximum - self.minimum)[varying]
        scaled = np.empty((len(rows), len(low)), dtype=np.float32)
        for block in blocks(len(rows)):
            values, out = dense(self.normalise(expression[rows[block]])), scaled[block]
            np.subtract(values if varying.all() else values[:, varying], low, out=out)
            np.divide(out, span, out=out)
            np.clip(out, 0, 1, out=out)
        return scaled

    def scale(self, expression: Matrix) -> np.ndarray:
        """Scale and clip to [0, 1], genes that do not vary to 0: float32, samples × genes."""
        scaled = np.zeros(expression.shape, dtype=np.float32)
        scaled[:, self.varying] = self.transform(expression)
        return scaled

    def inverse(
        self, scaled: np.ndarray, original: np.ndarray, before: np.ndarray | None = None
    ) -> np.ndarray:
        """Scaled values in input units; genes that do not vary are taken from `original`.

        Parameters
        ----------
        scaled
            Samples × varying genes, in [0, 1].
        original
            The same samples × all genes, in input units.
        before
            The original as scaled, samples × varying genes: where it still has the same value, that
            of `original` (clipped) is taken, without the rounding of the way there and back.
        """
        varying = self.varying
        low, high = self.minimum[varying], self.maximum[varying]
        values = np.clip(scaled * (high - low) + low, low, high)
        if self.is_count:
            values = counts_of(values, depths(original))
        if before is not None:
            kept = original if varying.all() else original[:, varying]
            kept = kept if self.is_count else np.clip(kept, low, high)
            np.copyto(values, kept, where=scaled == before, casting="same_kind")
        if varying.all():
            return values.astype(np.float32, copy=False)
        restored = original.astype(np.float32)
        restored[:, varying] = values
        return restored
