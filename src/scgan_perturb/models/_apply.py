"""Networks of scaled samples, applied block by block to expression in input units."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..data._expression import blocks
from ..data._tensor_scaler import TensorScaler
from ._device import open_fabric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from ..data._expression import Matrix
    from ..data._scaling import GeneScaler

# Few enough for a processor's cache, enough for its matrix products: benchmarks/speed.py.
BLOCK_VALUES, LEAST_ROWS, MOST_ROWS = 2**20, 64, 1024


class Block(NamedTuple):
    """Some consecutive samples, perturbed."""

    rows: slice
    expression: np.ndarray
    probabilities: np.ndarray


def predicted(
    network: nn.Module, scaler: GeneScaler, n_classes: int, expression: Matrix, accelerator: str
) -> np.ndarray:
    """Probabilities of a classifier of scaled samples, float32 of samples × classes."""
    on = TensorScaler(scaler, open_fabric(accelerator).device)
    network.to(on.device)
    result = np.empty((expression.shape[0], n_classes), dtype=np.float32)
    with torch.inference_mode():
        for rows, block in _blocks(expression):
            result[rows] = network(on.scale(block)).softmax(dim=1).cpu().numpy()
    return result


def perturbed(
    network: nn.Module, scaler: GeneScaler, expression: Matrix, accelerator: str
) -> Iterator[Block]:
    """Perturbed samples in input units, and what f says of them, a block at a time.

    Parameters
    ----------
    network
        Scaled samples to perturbed ones and the logits of f.
    scaler, expression, accelerator
        Range of each gene, samples × genes in input units, and the device.
    """
    on = TensorScaler(scaler, open_fabric(accelerator).device)
    network.to(on.device)
    for rows, block in _blocks(expression):
        with torch.inference_mode():
            x = on.scale(block)
            x_adv, logits = network(x)
            if not torch.isfinite(x_adv).all():
                msg = "The model gives NaN or infinite values: its weights may be damaged."
                raise ValueError(msg)
            done = Block(rows, on.restore(x_adv, block, x), logits.softmax(dim=1).cpu().numpy())
        yield done


def _blocks(expression: Matrix) -> Iterator[tuple[slice, Matrix]]:
    n_samples, n_genes = expression.shape
    size = min(max(BLOCK_VALUES // max(n_genes, 1), LEAST_ROWS), MOST_ROWS)
    for rows in blocks(n_samples, size):
        yield rows, expression[rows]
