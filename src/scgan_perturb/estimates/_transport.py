"""The estimates of Gaussian transport."""

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
    """Estimates from one set of samples."""

    statistics: ClassStatistics
    factors: Factors
    familiar: float  # the distance that samples of known classes stay below


def estimate_transport(
    samples: Samples,
    n_classes: int,
    targets: torch.Tensor,
    seed: int,
    *,
    statistics: ClassStatistics | None = None,
) -> Transport:
    """Estimate the transport to the targets (positions among the classes).

    Each class needs a sample. Given statistics can come from more samples than these.
    """
    if statistics is None:
        statistics = class_statistics(samples.rows, samples.labels, n_classes)
    return Transport(
        statistics,
        find_factors(samples, statistics, targets, seed),
        familiar_distance(samples, n_classes, seed),
    )
