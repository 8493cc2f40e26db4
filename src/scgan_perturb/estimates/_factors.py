"""How genes vary together: transport between the covariances of standardised deviations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..metrics._gaussian import shrunk_bures_map
from ._class_statistics import standardise

if TYPE_CHECKING:
    from ._class_statistics import ClassStatistics
    from ._samples import Samples

N_FACTORS = 60  # benchmarks/realism.py; shrinkage makes up for too many
MAX_SAMPLES = 2000  # of all classes, and of a target: enough for the covariance of 60 factors
PRIOR_SAMPLES = 5  # weight of the other classes' residual spread, in samples


@dataclass(frozen=True)
class Factors:
    """Turns the deviations of other classes into deviations of each target."""

    axes: torch.Tensor  # orthonormal, n_factors × genes
    maps: torch.Tensor  # of factors, n_targets × n_factors × n_factors
    rest: torch.Tensor  # scale of the residual, n_targets × genes


def find_factors(
    samples: Samples, statistics: ClassStatistics, targets: torch.Tensor, seed: int
) -> Factors:
    """Principal components of the deviations, and Gaussian transport between covariances in them.

    Deviations of samples from their class, in units of its spread, vary along axes that all classes
    share. For each target the Bures map takes the covariance of all other classes together to that
    of the target, both shrunk after Ledoit and Wolf. The residual outside the axes is scaled gene
    by gene.
    """
    rng = np.random.default_rng(seed)
    labels = samples.labels.cpu().numpy()

    def standardised(members: np.ndarray) -> torch.Tensor:
        if len(members) > MAX_SAMPLES:
            members = np.sort(rng.choice(members, MAX_SAMPLES, replace=False))
        index = torch.from_numpy(members).to(samples.labels.device)
        x, labels_of_x = samples.rows[index], samples.labels[index]
        return standardise(x, labels_of_x, statistics.mean, statistics.spread)

    axes = principal_axes(standardised(np.arange(len(labels))))
    maps, rest = [], []
    for target in targets.tolist():
        parts = [standardised(np.flatnonzero((labels == target) == is_t)) for is_t in (False, True)]
        factors, residuals = zip(*(project(part, axes) for part in parts), strict=True)
        maps.append(optimal_map(*(part.double().cpu().numpy() for part in factors)))
        others, of_target = (residual.square().sum(dim=0) for residual in residuals)
        others /= len(parts[0])
        variance = (of_target + PRIOR_SAMPLES * others) / (len(parts[1]) + PRIOR_SAMPLES)
        rest.append(torch.where(others > 0, variance / others, 1.0).sqrt())
    stacked = torch.from_numpy(np.stack(maps)).to(axes)
    return Factors(axes, stacked, torch.stack(rest))


def project(deviations: torch.Tensor, axes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors of deviations, samples × factors, and their residual, samples × genes."""
    factors = deviations @ axes.T
    return factors, torch.addmm(deviations, factors, axes, alpha=-1)


def principal_axes(deviations: torch.Tensor) -> torch.Tensor:
    """Orthonormal directions of greatest variance, at most N_FACTORS, and at most half of the genes.

    From products of samples if these are fewer than genes: seconds instead of minutes.
    """
    wide = len(deviations) < deviations.shape[1]
    products = (deviations @ deviations.T if wide else deviations.T @ deviations).double()
    variances, vectors = torch.linalg.eigh(products)
    n_factors = min(N_FACTORS, max(deviations.shape[1] // 2, 1))
    kept = (variances > 1e-6 * variances[-1].clamp_min(1e-30)).nonzero().flatten()[-n_factors:]
    axes = vectors[:, kept].T
    if wide:
        axes = axes @ deviations.double() / variances[kept].sqrt()[:, None]
    return axes.flip(0).to(deviations.dtype)


def optimal_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The Bures map between two sets of factors; the identity for a set that does not vary.

    A set of fewer than three samples counts as one that does not vary.
    """
    if min(len(source), len(target)) < 3 or not (source.any() and target.any()):
        return np.eye(source.shape[1])
    return shrunk_bures_map(source - source.mean(axis=0), target - target.mean(axis=0))
