"""How far from its class a sample may be that is of a known class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ._class_statistics import class_statistics, standardise
from ._factors import MAX_SAMPLES, principal_axes, project

if TYPE_CHECKING:
    from ._samples import Samples

LEFT_OUT = 0.2  # of each class, to measure
FAMILIAR_SHARE = 0.95  # of them
LEAST = 1e-3  # spreads; where the axes leave nothing, as of a single gene, the rest is rounding


def root_mean_square(rest: torch.Tensor) -> torch.Tensor:
    """Over genes, of what the axes leave of each sample's deviation.

    Samples of one class deviate along axes that the classes share. What lies outside tells a class
    that was never seen, far better than the length of the whole.
    """
    return torch.linalg.vector_norm(rest, dim=1) / math.sqrt(rest.shape[1])


def familiar_distance(samples: Samples, n_classes: int, seed: int) -> float:
    """The remainder within which nearly all samples of known classes lie.

    Measured on samples that had no part in means, spreads and axes: those that had are nearer.
    Infinite where classes are too small to leave any out.

    Parameters
    ----------
    samples
        Training samples, of each class at least one.
    n_classes
        Number of classes.
    seed
        Seed of the draw of those that are left out.
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
