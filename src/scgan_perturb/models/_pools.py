"""Samples of known classes, and which of them a training step draws from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ..data._rows import ScaledRows


@dataclass(frozen=True)
class Samples:
    """Samples of known classes.

    Parameters
    ----------
    rows
        The samples.
    labels
        Position of the class of each, on the device.
    """

    rows: ScaledRows
    labels: torch.Tensor


@dataclass(frozen=True)
class Pools:
    """Which samples a step draws from: positions among the samples, one tensor a target.

    Parameters
    ----------
    sources
        Samples to perturb towards the target: those of other classes.
    real
        Real samples of the target.
    """

    sources: list[torch.Tensor]
    real: list[torch.Tensor]


def make_pools(
    labels: torch.Tensor, targets: torch.Tensor, is_source: torch.Tensor, among: torch.Tensor
) -> Pools:
    """The pools of the samples `among`; a target without samples there keeps all of its samples.

    Parameters
    ----------
    labels
        Position of the class of each training sample.
    targets
        Positions of the targets among the classes.
    is_source
        Whether a training sample may be perturbed.
    among
        Whether a training sample belongs to this part of the data.
    """
    sources: list[torch.Tensor] = []
    real: list[torch.Tensor] = []
    for target in targets:
        is_target = labels == target
        for pool, members in ((sources, is_source & ~is_target), (real, is_target)):
            part = torch.nonzero(members & among).flatten()
            pool.append(part if len(part) else torch.nonzero(members).flatten())
    return Pools(sources, real)
