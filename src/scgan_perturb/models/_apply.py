"""Networks of scaled samples, applied block by block to expression in input units."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..data._blocks import blocks
from ..data._tensor_scaler import TensorScaler
from ..engine._device import device_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from ..data._blocks import Matrix
    from ..data._matrix import ExpressionMatrix
    from ..data._scaling import GeneScaler

# Enough for a processor's matrix products, few enough to allocate without new pages: benchmarks/speed.py.
BLOCK_VALUES, LEAST_ROWS, MOST_ROWS = 2**22, 192, 1024


class Block(NamedTuple):
    """Some consecutive samples, perturbed."""

    rows: slice
    expression: np.ndarray
    probabilities: np.ndarray


def predicted(
    network: nn.Module,
    scaler: GeneScaler,
    n_classes: int,
    expression: Matrix,
    accelerator: str | torch.device,
) -> np.ndarray:
    """Probabilities of a classifier of scaled samples, float32 of samples × classes."""
    n_samples = expression.shape[0]
    result = np.empty((n_samples, n_classes), dtype=np.float32)
    for rows, said in _said(network, scaler, expression, slice(0, n_samples), accelerator):
        result[rows] = said.softmax(dim=1).cpu().numpy()
    return result


def called(
    network: nn.Module,
    scaler: GeneScaler,
    expression: ExpressionMatrix | Matrix,
    rows: slice,
    accelerator: str | torch.device,
) -> np.ndarray:
    """Positions of the classes that a classifier of scaled samples calls some of them."""
    said = _said(network, scaler, expression, rows, accelerator)
    found = [logits.argmax(dim=1).cpu().numpy() for _, logits in said]
    return np.concatenate([np.empty(0, dtype=np.int64), *found])  # of no samples, none


def _said(
    network: nn.Module,
    scaler: GeneScaler,
    expression: ExpressionMatrix | Matrix,
    rows: slice,
    accelerator: str | torch.device,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Logits of some of the samples, a block at a time."""
    on = TensorScaler(scaler, device_of(accelerator))
    network.to(on.device)
    for part in blocks(rows, block_rows(expression.shape[1])):
        block = expression[part]
        with torch.inference_mode():
            said = network(on.scale(block))
        yield part, said


def perturbed(
    network: nn.Module, scaler: GeneScaler, expression: Matrix, accelerator: str | torch.device
) -> Iterator[Block]:
    """Perturbed samples in input units, and what f says of them, a block at a time.

    Parameters
    ----------
    network
        Scaled samples to perturbed ones and the logits of f.
    scaler, expression, accelerator
        Range of each gene, samples × genes in input units, and the device.
    """
    on = TensorScaler(scaler, device_of(accelerator))
    network.to(on.device)
    for rows in blocks(expression.shape[0], block_rows(expression.shape[1])):
        block = expression[rows]
        with torch.inference_mode():
            x = on.scale(block)
            x_adv, logits = network(x)
            if torch.isnan(x_adv).any():
                msg = "The model gives NaN: its weights may be damaged."
                raise ValueError(msg)
            done = Block(rows, on.restore(x_adv, block, x), logits.softmax(dim=1).cpu().numpy())
        yield done


def block_rows(n_genes: int) -> int:
    """Samples that are perturbed at a time."""
    return min(max(BLOCK_VALUES // max(n_genes, 1), LEAST_ROWS), MOST_ROWS)
