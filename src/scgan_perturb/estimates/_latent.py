"""How genes vary together: factors behind which genes are present, and behind their values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

# All constants: chosen on inner validation samples of three data sets, docs/method.md.
# A multiple of 16: matrices are then aligned in memory, and a sample's last bits do not depend on
# its position in a batch.
N_FACTORS = 16
NEWTON_STEPS = 4  # to the mode of a sample's factors
LARGEST_STEP = 3.0
N_NODES = 9  # of Gauss-Hermite quadrature


@dataclass(frozen=True)
class Latent:
    """A factor model that gives each class the marginals it has.

    With factors f ~ N(0, S_c) of a sample of class c, gene g is present with probability
    σ(b_cg + w_g·f); where it is, the normal score of its value is k_cg (a_cg + v_g·f + e) with
    e ~ N(0, ψ_g). The numbers b, a and k follow from the rest: with them a gene is present as
    often as its marginal says, and scores have mean 0 and variance 1.

    Parameters
    ----------
    presence, value
        Loadings w and v, genes × factors.
    noise
        Variances ψ, genes.
    covariance
        S_c, classes × factors × factors.
    centre
        Mean of each class's factors, classes × factors. It is not 0 where marginals and loadings do
        not agree; the map to a target takes it along.
    intercept, offset, gain
        b, a and k, classes × genes.
    """

    presence: torch.Tensor
    value: torch.Tensor
    noise: torch.Tensor
    covariance: torch.Tensor
    centre: torch.Tensor
    intercept: torch.Tensor
    offset: torch.Tensor
    gain: torch.Tensor


class Products(NamedTuple):
    """What the posterior of factors needs of a model, computed once.

    Parameters
    ----------
    presence, value
        Products of two loadings, for each pair of factors once: genes × pairs.
    precision
        Inverse of each class's covariance, classes × factors × factors.
    pair
        For each two factors the position of their pair, factors × factors.
    """

    presence: torch.Tensor
    value: torch.Tensor
    precision: torch.Tensor
    pair: torch.Tensor


def pairs_of(factors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The first and the second of each pair of columns, and for each two columns their pair."""
    n_factors = factors.shape[1]
    first, second = torch.triu_indices(n_factors, n_factors, device=factors.device)
    pair = torch.empty(n_factors, n_factors, dtype=torch.long, device=factors.device)
    pair[first, second] = pair[second, first] = torch.arange(len(first), device=factors.device)
    return first, second, pair


def products_of(latent: Latent) -> Products:
    """The products of a model's loadings."""
    first, second, pair = pairs_of(latent.presence)
    presence, value = (
        loadings[:, first] * loadings[:, second] for loadings in (latent.presence, latent.value)
    )
    return Products(presence, value, torch.linalg.inv(latent.covariance), pair)


def find_posterior(
    latent: Latent,
    products: Products,
    present: torch.Tensor,
    scores: torch.Tensor,
    labels: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Laplace approximation of the factors of samples, given all their genes.

    Parameters
    ----------
    present
        1 where a gene is present, else 0, samples × genes.
    scores
        Normal scores of the values of present genes, samples × genes.
    labels
        Position of the class of each sample.

    Returns
    -------
    Modes, samples × factors, and the Cholesky factors of the precisions, samples × factors ×
    factors.
    """
    weight = present / latent.noise
    precision = products.precision[labels]
    fixed = (weight @ products.value)[:, products.pair] + precision
    centred = scores / latent.gain[labels] - latent.offset[labels]
    from_values = (weight * centred) @ latent.value
    intercept = latent.intercept[labels]
    factors = torch.zeros_like(from_values)
    for _ in range(NEWTON_STEPS):
        chance = torch.addmm(intercept, factors, latent.presence.T).sigmoid_()
        gradient = (present - chance) @ latent.presence + from_values
        gradient -= (fixed @ factors[..., None])[..., 0]
        variance = chance.addcmul_(chance, chance, value=-1)
        cholesky = torch.linalg.cholesky((variance @ products.presence)[:, products.pair] + fixed)
        step = torch.cholesky_solve(gradient[..., None], cholesky)[..., 0]
        factors = factors + step.clamp_(-LARGEST_STEP, LARGEST_STEP)
    return factors, cholesky


def draw_factors(mode: torch.Tensor, cholesky: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """A draw from the posterior, from standard normal noise of samples × factors."""
    deviation = torch.linalg.solve_triangular(cholesky.mT, noise[..., None], upper=True)
    return mode + deviation[..., 0]


def calibrated(latent: Latent, share: torch.Tensor) -> Latent:
    """The model with the intercepts, offsets and gains that these shares of presence ask for."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
    node, weight = (share.new_tensor(part) for part in (nodes, weights / weights.sum()))
    intercept, offset, gain = (torch.empty_like(share) for _ in range(3))
    for label, covariance in enumerate(latent.covariance):
        wanted = share[label].clamp(1e-4, 1 - 1e-4)
        scaled = latent.presence @ covariance
        spread = (scaled * latent.presence).sum(1).clamp_min(1e-12).sqrt()
        b = torch.logit(wanted) * (1 + spread.square() * math.pi / 8).sqrt()  # MacKay 1992
        for _ in range(8):
            chance = torch.sigmoid(b[:, None] + spread[:, None] * node)
            slope = (chance * (1 - chance)) @ weight
            b = b - ((chance @ weight - wanted) / slope.clamp_min(1e-6)).clamp(-2, 2)
        chance = torch.sigmoid(b[:, None] + spread[:, None] * node)
        variance = chance * (1 - chance)
        mean = (chance @ weight).clamp_min(1e-6)
        slope, curvature = variance @ weight / mean, (variance * (1 - 2 * chance)) @ weight / mean
        # Factors of samples in which the gene is present have another mean and variance (Stein).
        joint = (scaled * latent.value).sum(1)
        total = latent.noise + ((latent.value @ covariance) * latent.value).sum(1)
        total = total + joint.square() * (curvature - slope.square())
        intercept[label] = b
        offset[label] = (-joint * slope).clamp(-1, 1)
        gain[label] = total.clamp(0.5, 2).rsqrt()
    return replace(latent, intercept=intercept, offset=offset, gain=gain)
