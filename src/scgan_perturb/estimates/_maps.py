"""Maps from the factors of one class to those of another."""

from __future__ import annotations

import torch


def optimal_maps(covariance: torch.Tensor, destination: torch.Tensor) -> torch.Tensor:
    """Bures-Wasserstein maps from the covariance of each group to that of its destination.

    S^-½ (S^½ T S^½)^½ S^-½, groups × factors × factors; symmetric.

    Parameters
    ----------
    covariance
        Of each group, groups × factors × factors.
    destination
        Position of the group that each is mapped to.
    """
    wide = covariance.double()
    root, inverse = _power(wide, 0.5), _power(wide, -0.5)
    return (inverse @ _power(root @ wide[destination] @ root, 0.5) @ inverse).to(covariance)


def _power(matrices: torch.Tensor, exponent: float) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrices)
    return (vectors * values.clamp_min(1e-9)[..., None, :] ** exponent) @ vectors.mT
