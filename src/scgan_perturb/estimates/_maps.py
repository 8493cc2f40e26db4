"""Maps from the factors of one class to those of another."""

from __future__ import annotations

import torch


def optimal_maps(covariance: torch.Tensor, target: int) -> torch.Tensor:
    """Bures-Wasserstein maps from the covariance of each class to that of the target.

    S^-½ (S^½ T S^½)^½ S^-½, classes × factors × factors; symmetric.
    """
    wide = covariance.double()
    root, inverse = _power(wide, 0.5), _power(wide, -0.5)
    return (inverse @ _power(root @ wide[target] @ root, 0.5) @ inverse).to(covariance)


def _power(matrices: torch.Tensor, exponent: float) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrices)
    return (vectors * values.clamp_min(1e-9)[..., None, :] ** exponent) @ vectors.mT
