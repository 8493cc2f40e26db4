"""Which samples a training step draws from."""

from __future__ import annotations

from dataclasses import dataclass

import torch


class Pool:
    """Positions of samples, one set for each target; drawing does not wait for the device.

    Parameters
    ----------
    members
        One tensor a target, none of them empty.
    """

    def __init__(self, members: list[torch.Tensor]) -> None:
        device = members[0].device
        self._members = torch.cat(members)
        self._size = torch.tensor([len(part) for part in members], device=device)
        self._start = self._size.cumsum(0) - self._size

    def draw(self, targets: torch.Tensor, n_samples: int, rng: torch.Generator) -> torch.Tensor:
        """Positions, targets × n_samples, drawn with replacement for these target indices."""
        size = self._size[targets, None]
        u = torch.rand(len(targets), n_samples, generator=rng, device=targets.device)
        return self._members[self._start[targets, None] + (u * size).long()]


@dataclass(frozen=True)
class Pools:
    """Samples that a step draws from.

    Parameters
    ----------
    sources
        Samples to perturb towards each target: those of other classes.
    real
        Real samples of each target.
    """

    sources: Pool
    real: Pool


def make_pools(
    labels: torch.Tensor, targets: torch.Tensor, is_source: torch.Tensor, among: torch.Tensor
) -> Pools:
    """The pools of the samples `among`; a target without samples there uses all of its samples.

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
    return Pools(Pool(sources), Pool(real))
