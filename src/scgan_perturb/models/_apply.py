"""Apply networks of scaled samples to expression in input units, block by block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..data._blocks import blocks, dense
from ..data._tensor_scaler import TensorScaler
from ..engine._device import device_of
from ..engine._threads import threads_for
from ..networks._draws import keys_of
from ..networks._networks import flops_of_step
from ..networks._perturber import ROWS_CPU, flops_of_draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from torch import nn

    from ..data._blocks import Matrix
    from ..data._matrix import ExpressionMatrix
    from ..data._scaling import GeneScaler
    from ..networks._perturber import TransportPerturber

DAMAGED = "The model gives NaN: its weights may be damaged."
# Enough for efficient matrix products, few enough to reuse memory: benchmarks/speed.py.
BLOCK_VALUES, LEAST_ROWS, MOST_ROWS = 2**22, 128, 1024


class Block(NamedTuple):
    """Some consecutive samples, perturbed."""

    rows: slice
    expression: np.ndarray
    probabilities: np.ndarray


def predict_probabilities(
    network: nn.Module,
    scaler: GeneScaler,
    n_classes: int,
    expression: Matrix,
    accelerator: str | torch.device,
) -> np.ndarray:
    """Class probabilities of a classifier of scaled samples, float32 of samples × classes."""
    n_samples = expression.shape[0]
    result = np.empty((n_samples, n_classes), dtype=np.float32)
    for rows, logits in _logits(network, scaler, expression, slice(0, n_samples), accelerator):
        result[rows] = logits.softmax(dim=1).cpu().numpy()
    return result


def predict_classes(
    network: nn.Module,
    scaler: GeneScaler,
    expression: ExpressionMatrix | Matrix,
    rows: slice,
    accelerator: str | torch.device,
) -> np.ndarray:
    """Positions of the likeliest classes of some samples."""
    parts = [
        logits.argmax(dim=1).cpu().numpy()
        for _, logits in _logits(network, scaler, expression, rows, accelerator)
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _logits(
    network: nn.Module,
    scaler: GeneScaler,
    expression: ExpressionMatrix | Matrix,
    rows: slice,
    accelerator: str | torch.device,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Logits of some samples, a block at a time."""
    on = TensorScaler(scaler, device_of(accelerator))
    network.to(on.device)
    for part in blocks(rows, block_rows(expression.shape[1])):
        block = expression[part]
        with torch.inference_mode(), threads_for(flops_of_step(network, block.shape[0]) / 3):
            logits = network(on.scale(block))
        yield part, logits


def perturb_blocks(
    network: nn.Module,
    scaler: GeneScaler,
    expression: Matrix,
    context_codes: np.ndarray,
    accelerator: str | torch.device,
) -> Iterator[Block]:
    """Perturbed samples in input units with their class probabilities, a block at a time.

    The network turns scaled samples, their keys and the positions of their contexts into perturbed
    samples and logits.
    """
    network.to(device_of(accelerator))
    for rows, x_adv, logits in _perturbed(network, scaler, expression, context_codes, accelerator):
        yield Block(rows, x_adv, logits.softmax(dim=1).cpu().numpy())


def expected_blocks(
    network: TransportPerturber,
    scaler: GeneScaler,
    expression: Matrix,
    context_codes: np.ndarray,
    accelerator: str | torch.device,
    n_draws: int,
) -> Iterator[np.ndarray]:
    """Means over draws of the perturbed samples in input units, a block at a time."""
    network.to(device_of(accelerator))

    def mean_of_draws(
        x: torch.Tensor, keys: torch.Tensor, contexts: torch.Tensor
    ) -> tuple[torch.Tensor, None]:
        return network.expected(x, keys, contexts, n_draws=n_draws), None

    for _, x_adv, _ in _perturbed(mean_of_draws, scaler, expression, context_codes, accelerator):
        yield x_adv


def _perturbed(
    perturb: Callable[..., Any],
    scaler: GeneScaler,
    expression: Matrix,
    context_codes: np.ndarray,
    accelerator: str | torch.device,
) -> Iterator[tuple[slice, np.ndarray, Any]]:
    """Rows, perturbed samples in input units and logits, a block at a time."""
    on = TensorScaler(scaler, device_of(accelerator))
    work = flops_of_draw(ROWS_CPU, expression.shape[1])
    for rows in blocks(expression.shape[0], block_rows(expression.shape[1])):
        block = dense(expression[rows])  # once, for scaling, keys and what does not change
        with torch.inference_mode(), threads_for(work):
            x = on.scale(block)
            contexts = torch.from_numpy(context_codes[rows]).to(on.device)
            with damage_named():
                x_adv, logits, *units = perturb(x, keys_of(on.unscaled(block)), contexts)
            if torch.isnan(x_adv).any():
                raise ValueError(DAMAGED)
            restored = on.restore(x_adv, block, x, *units)
        yield rows, restored, logits


@contextmanager
def damage_named() -> Iterator[None]:
    """Raise ValueError for a matrix that cannot be inverted, as damaged weights make them."""
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise ValueError(DAMAGED) from error


def block_rows(n_genes: int) -> int:
    """Number of samples in a block."""
    n_rows = min(max(BLOCK_VALUES // max(n_genes, 1), LEAST_ROWS), MOST_ROWS)
    return n_rows // LEAST_ROWS * LEAST_ROWS  # whole blocks of the products
