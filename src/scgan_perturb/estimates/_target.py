"""The distribution of the target class, drawn from with its full covariance."""

from __future__ import annotations

import math
from typing import Literal

import torch

from ..metrics._gaussian import ledoit_wolf


class TargetDistribution:
    """N(μ_t, Σ_t) of the target's training samples, clipped to [0, 1] (paper, equation 4).

    Σ_t is never formed. With the centred samples C (n_t × genes), μ_t + zᵀC/√(n_t − 1) for
    z ~ N(0, I) has exactly the sample mean and covariance. The shrinkage α in [0, 1] gives
    (1 − α)Σ_t + αmI with the mean diagonal m; `"ledoit-wolf"` estimates α from the samples.
    """

    def __init__(
        self, samples: torch.Tensor, shrinkage: float | Literal["ledoit-wolf"] = 0.0
    ) -> None:
        n_samples = len(samples)
        if n_samples < 2:
            msg = f"A target needs at least 2 training samples, not {n_samples}."
            raise ValueError(msg)
        self.mean = samples.mean(dim=0)
        centred = samples - self.mean
        self.shrinkage = _shrinkage(centred, shrinkage)
        scale = n_samples - 1
        mean_variance = centred.square().sum().item() / scale / samples.shape[1]
        self._factor = centred * math.sqrt((1 - self.shrinkage) / scale)
        self._isotropic = math.sqrt(self.shrinkage * mean_variance)

    def sample(
        self, n_samples: int, rng: torch.Generator, rows: slice = slice(None)
    ) -> torch.Tensor:
        """Draw n_samples × genes, clipped to [0, 1], and return some rows."""
        factor = self._factor
        z = torch.randn(n_samples, len(factor), generator=rng, device=factor.device)[rows]
        drawn = torch.addmm(self.mean, z, factor)
        if self._isotropic:
            n_genes = factor.shape[1]
            noise = torch.randn(n_samples, n_genes, generator=rng, device=factor.device)[rows]
            drawn = drawn.add_(noise, alpha=self._isotropic)
        return drawn.clamp_(0, 1)


def _shrinkage(centred: torch.Tensor, shrinkage: float | Literal["ledoit-wolf"]) -> float:
    if shrinkage == "ledoit-wolf":
        return ledoit_wolf(centred.double().cpu().numpy())
    if isinstance(shrinkage, str) or not 0 <= shrinkage <= 1:
        msg = f"shrinkage must be a number in [0, 1] or 'ledoit-wolf', not {shrinkage!r}."
        raise ValueError(msg)
    return float(shrinkage)
