"""The share of a batch that each process computes on.

Lightning Fabric averages the gradients of the processes. Each process draws the random numbers of
the whole batch, from one seed: up to rounding, the results are those of one process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import distributed

from ._processes import part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lightning_fabric import Fabric


class Share(NamedTuple):
    """The samples of a batch that one process computes on.

    Parameters
    ----------
    rows
        The samples of the share.
    n_samples
        Size of the whole batch.
    weight
        A mean over these samples times the weight, averaged over the processes, is the mean over
        the batch: 1 where all shares are of one size.
    """

    rows: slice
    n_samples: int
    weight: float


def share(fabric: Fabric, n_samples: int) -> Share:
    """The share of a batch that this process computes on.

    Raises
    ------
    ValueError
        If there are fewer samples than processes.
    """
    if n_samples < fabric.world_size:
        msg = (
            f"{fabric.world_size} processes cannot share {n_samples} samples of a batch. "
            "Raise batch_size, or train on fewer devices."
        )
        raise ValueError(msg)
    rows = part(fabric, n_samples)
    return Share(rows, n_samples, (rows.stop - rows.start) * fabric.world_size / n_samples)


def gather(fabric: Fabric, local: torch.Tensor, n: int) -> torch.Tensor:
    """Concatenate the parts of all processes, without gradients; `local` if there is one process.

    Parameters
    ----------
    local
        The tensor of this process, for its :func:`part` of n items.
    n
        Number of items in all, along the first dimension.
    """
    if fabric.world_size == 1:
        return local
    whole = local.new_zeros(n, *local.shape[1:])
    whole[part(fabric, n)] = local
    # all_gather does not accept parts of different sizes on every backend.
    distributed.all_reduce(whole)
    return whole


def sum_of_all(fabric: Fabric, local: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over the processes, without gradients."""
    if fabric.world_size == 1:
        return local
    total = local.clone()
    distributed.all_reduce(total)
    return total


def mean_of_all(fabric: Fabric, local: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over the processes."""
    return sum_of_all(fabric, local) / fabric.world_size


def share_of_hits(fabric: Fabric, hits: Iterable[torch.Tensor]) -> float:
    """Share of true values over all processes and batches; NaN without values.

    Each batch is counted at once: kept batches would fragment the memory between large arrays.
    """
    n_hits, n = torch.zeros((), dtype=torch.int64, device=fabric.device), 0
    for batch in hits:
        n_hits += batch.sum()
        n += len(batch)
    counts = sum_of_all(fabric, torch.stack([n_hits, n_hits.new_tensor(n)]))
    return (counts[0].float() / counts[1]).item()


class _SumOfAll(torch.autograd.Function):
    """The sum of a tensor over the processes, and of its gradients."""

    @staticmethod
    def forward(ctx: Any, local: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = local.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        return _SumOfAll.apply(gradients[0].contiguous())


def differentiable_sum(local: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over the processes, with gradients."""
    return _SumOfAll.apply(local)
