"""All that Gaussian transport knows of the classes, estimated from samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._class_statistics import ClassStatistics, class_statistics
from ._factors import Factors, find_factors
from ._familiarity import familiar_distance

if TYPE_CHECKING:
    import torch

    from ._samples import Samples


@dataclass(frozen=True)
class Transport:
    """Estimates from one set of samples.

    Parameters
    ----------
    statistics
        Mean and spread of each class.
    factors
        How genes vary together, and what takes others' deviations to those of each target.
    familiar
        The distance within which samples of known classes lie.
    """

    statistics: ClassStatistics
    factors: Factors
    familiar: float


def estimate_transport(
    samples: Samples,
    n_classes: int,
    targets: torch.Tensor,
    seed: int,
    *,
    statistics: ClassStatistics | None = None,
) -> Transport:
    """Estimate all of it.

    Parameters
    ----------
    samples
        Samples, of each class at least one.
    n_classes
        Number of classes.
    targets
        Positions of the targets among the classes.
    seed
        Seed of the draws, where samples are more than are needed.
    statistics
        Mean and spread of each class, estimated from more samples; None to do so from these.
    """
    if statistics is None:
        statistics = class_statistics(samples.rows, samples.labels, n_classes)
    return Transport(
        statistics,
        find_factors(samples, statistics, targets, seed),
        familiar_distance(samples, n_classes, seed),
    )
