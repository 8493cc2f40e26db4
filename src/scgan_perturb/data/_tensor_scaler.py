"""Scaling of blocks on the device that networks run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ._blocks import blocks, dense
from ._counts import TARGET_SUM, depths
from ._levels import nearest_levels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._blocks import Matrix
    from ._scaling import GeneScaler

ROUNDING = 1e-4  # of the largest count of a gene, and of logged counts
CACHED_VALUES = 2**19  # few enough to stay in a processor's cache from one operation to the next


def pieces(x: torch.Tensor) -> Iterator[slice]:
    """Slices of the rows of a tensor for operations on each value: small ones on a CPU, else one.

    What such operations leave in between is then written to the same memory over and over.
    """
    on_cpu = x.device.type == "cpu"
    return blocks(len(x), max(CACHED_VALUES // max(x.shape[1], 1), 1) if on_cpu else max(len(x), 1))


class TensorScaler:
    """What a :class:`GeneScaler` does, for tensors on a device.

    Parameters
    ----------
    scaler
        Range of each gene; scaled tensors hold its varying genes only.
    device
        Where the tensors are.
    """

    def __init__(self, scaler: GeneScaler, device: torch.device) -> None:
        self.device, self._scaler = device, scaler
        varying = scaler.varying
        self._genes = None if varying.all() else torch.from_numpy(np.flatnonzero(varying))
        self._low, self._high = (
            torch.from_numpy(ends[varying]).to(device) for ends in (scaler.minimum, scaler.maximum)
        )
        self._span = self._high - self._low

    @property
    def n_genes(self) -> int:
        """Number of varying genes."""
        return len(self._low)

    def unscaled(self, block: Matrix) -> torch.Tensor:
        """Samples × varying genes in input units."""
        return self._varying(self._tensor(block))

    def scale(self, block: Matrix) -> torch.Tensor:
        """Samples × genes in input units, scaled and clipped: float32, samples × varying genes."""
        x = self._varying(self._tensor(self._scaler.normalise(block)))
        return (x - self._low).div_(self._span).clamp_(0, 1)

    def restore(
        self,
        scaled: torch.Tensor,
        block: Matrix,
        before: torch.Tensor,
        sizes: torch.Tensor | None = None,
        levels: torch.Tensor | None = None,
    ) -> np.ndarray:
        """Scaled values in input units, float32 of samples × genes, in the memory of the scaled ones.

        Parameters
        ----------
        scaled
            Samples × varying genes, in [0, 1].
        block
            The same samples × all genes, in input units: genes that do not vary are taken from it.
        before
            The block as scaled: where `scaled` still has the same value, that of the block
            (clipped) is taken, without the rounding of the way there and back.
        sizes
            Logarithm of each sample's size factor, if its values are logged counts: genes with the
            same count then have the same value, and at most the count that the gene's
            greatest value in the training samples would be.
        levels
            The values that occur, if they are few: each value then is the nearest of them.
        """
        original = self._tensor(block)
        is_count = self._scaler.is_count
        depth = torch.from_numpy(depths(block)).to(scaled) if is_count else None
        size = None if sizes is None else sizes.exp()[:, None]
        for piece in pieces(scaled):
            values, unchanged = scaled[piece], scaled[piece] == before[piece]
            torch.addcmul(self._low, values, self._span, out=values)
            if levels is not None:
                values.copy_(nearest_levels(values, levels.to(values)))
            values.clamp_(self._low, self._high)
            kept = self._varying(original[piece])
            if depth is None:
                kept = kept.clamp(self._low, self._high)
            else:
                values.expm1_().mul_(depth[piece] / TARGET_SUM).round_()
            if size is not None:
                most = (self._high.expm1() * (1 + ROUNDING) * size[piece]).floor_()
                count = values.expm1_().mul_(size[piece]).round_().minimum(most)
                # In float32 the last bit of a logarithm depends on its position in memory.
                values.copy_(count.double().div_(size[piece]).log1p_())
                # The same scaled value, as that of the range's end, may be another count.
                unchanged &= (values - kept).abs() <= ROUNDING
            torch.where(unchanged, kept, values, out=values)
        if self._genes is None:
            return scaled.cpu().numpy()
        whole = original.clone().index_copy_(1, self._genes.to(self.device), scaled)
        return whole.cpu().numpy()

    def _tensor(self, block: Matrix) -> torch.Tensor:
        # torch warns of arrays that are read only, though nothing here writes to them.
        return torch.from_numpy(np.require(dense(block), requirements=["C", "W"])).to(self.device)

    def _varying(self, x: torch.Tensor) -> torch.Tensor:
        return x if self._genes is None else x[:, self._genes]
