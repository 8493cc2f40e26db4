"""What each of several processes does of a batch that all of them draw alike.

Lightning Fabric averages the gradients of the processes. Random numbers are drawn for the whole
batch by each of them, from one seed: the results are those of one process, but for rounding.
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
        Which of the batch they are.
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
            f"{fabric.world_size} processes cannot share {n_samples} samples, of a batch or of one "
            "of its targets. Raise batch_size, or train on fewer devices."
        )
        raise ValueError(msg)
    rows = part(fabric, n_samples)
    return Share(rows, n_samples, (rows.stop - rows.start) * fabric.world_size / n_samples)


def gathered(fabric: Fabric, own: torch.Tensor, n: int, dim: int = 0) -> torch.Tensor:
    """The parts of all processes in a row, without gradients; `own` if there is one process.

    Parameters
    ----------
    own
        What this process has for its :func:`part` of n things.
    n
        How many things there are, along dimension `dim`.
    """
    if fabric.world_size == 1:
        return own
    whole = own.new_zeros(*own.shape[:dim], n, *own.shape[dim + 1 :])
    mine = part(fabric, n)
    whole.narrow(dim, mine.start, mine.stop - mine.start).copy_(own)
    # Parts differ in size by one, which the collective that gathers does not take everywhere.
    distributed.all_reduce(whole)
    return whole


def added(fabric: Fabric, own: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over the processes, without gradients."""
    if fabric.world_size == 1:
        return own
    total = own.clone()
    distributed.all_reduce(total)
    return total


def mean_of_all(fabric: Fabric, own: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over the processes."""
    return added(fabric, own) / fabric.world_size


def share_of_hits(fabric: Fabric, hits: Iterable[torch.Tensor]) -> float:
    """Share of true values among those of all processes, batch by batch; NaN without any.

    Batches are counted as they come. Kept, each would lie between the large arrays of two steps,
    whose memory could then not be used again: some MB a batch.
    """
    n_hits, n = torch.zeros((), dtype=torch.int64, device=fabric.device), 0
    for batch in hits:
        n_hits += batch.sum()
        n += len(batch)
    counts = added(fabric, torch.stack([n_hits, n_hits.new_tensor(n)]))
    return (counts[0].float() / counts[1]).item()


class _SumOfAll(torch.autograd.Function):
    """The sum of a tensor over the processes, and of its gradients."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        return _SumOfAll.apply(gradients[0].contiguous())


def sum_of_all(own: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over the processes, with the gradient of all of them."""
    return _SumOfAll.apply(own)
