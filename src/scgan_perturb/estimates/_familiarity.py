"""The distance from its class within which a sample counts as familiar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ._class_statistics import class_statistics, standardise
from ._factors import MAX_SAMPLES, principal_axes, project

if TYPE_CHECKING:
    from ._samples import Samples

LEFT_OUT = 0.2  # share of each class, to measure the distance
FAMILIAR_SHARE = 0.95  # of these samples
LEAST = 1e-3  # in spreads; without a residual, as for a single gene, there is only rounding


def root_mean_square(rest: torch.Tensor) -> torch.Tensor:
    """Root mean square over genes of each sample's residual outside the axes.

    It detects samples of an unknown class far better than the length of the whole deviation.
    """
    return torch.linalg.vector_norm(rest, dim=1) / math.sqrt(rest.shape[1])


def familiar_distance(samples: Samples, n_classes: int, seed: int) -> float:
    """The residual that nearly all samples of known classes stay below.

    Measured on samples that means, spreads and axes are not estimated from, whose residual is
    larger. Infinite if classes are too small to leave samples out.
    """
    rng = np.random.default_rng(seed)
    labels = samples.labels.cpu().numpy()
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for label in range(n_classes):
        members = rng.permutation(np.flatnonzero(labels == label))
        members = members[: max(MAX_SAMPLES // n_classes, 2)]
        n_out = int(LEFT_OUT * len(members))
        parts.append((members[n_out:], members[:n_out]))
    kept, left_out = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
    if len(left_out) == 0:
        return float("inf")
    kept, left_out = (index.to(samples.labels.device) for index in (kept, left_out))
    known = samples.at(kept)
    statistics = class_statistics(known.rows, known.labels, n_classes)

    def standardised(index: torch.Tensor) -> torch.Tensor:
        x, labels_of_x = samples.rows[index], samples.labels[index]
        return standardise(x, labels_of_x, statistics.mean, statistics.spread)

    _, rest = project(standardised(left_out), principal_axes(standardised(kept)))
    distances = root_mean_square(rest)
    return max(float(torch.quantile(distances.double(), FAMILIAR_SHARE)), LEAST)
