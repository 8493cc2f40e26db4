"""How genes vary together: factors behind which genes are present, and behind their values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ._marginals import find_scores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._marginals import Marginals
    from ._samples import Rows

# All constants: chosen on inner validation samples of three data sets, docs/method.md.
# A multiple of 16: matrices are then aligned in memory, and a sample's last bits do not depend on
# its position in a batch.
N_FACTORS = 16
MAX_VALUES = 2**26  # of samples × genes that the factors are estimated from
MAX_SAMPLES = 4096
N_ROUNDS, N_AVERAGED = 12, 5  # of stochastic expectation maximisation; the last ones' loadings
RIDGE = 4.0  # prior precision of loadings
COVARIANCE_PRIOR = 20  # samples at which a class's covariance weighs as much as that of all
NOISE_PRIOR = 5  # worth of a noise of 1, in values
NEWTON_STEPS = 4  # to the mode of a sample's factors
LARGEST_STEP = 3.0
N_NODES = 9  # of Gauss-Hermite quadrature
BLOCK = 512  # samples at a time


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


def products_of(latent: Latent) -> Products:
    """The products of a model's loadings."""
    n_factors = latent.presence.shape[1]
    first, second = torch.triu_indices(n_factors, n_factors, device=latent.presence.device)
    pair = torch.empty(n_factors, n_factors, dtype=torch.long, device=first.device)
    pair[first, second] = pair[second, first] = torch.arange(len(first), device=first.device)
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


def estimate_latent(rows: Rows, labels: torch.Tensor, marginals: Marginals, seed: int) -> Latent:
    """Fit the factor model by stochastic expectation maximisation.

    Parameters
    ----------
    rows
        Training samples.
    labels
        Position of the class of each.
    marginals
        The marginals of the classes.
    seed
        Seed of the draws.
    """
    rng = torch.Generator().manual_seed(seed)
    data = _read(rows, labels, marginals)
    factors = _first_factors(data, marginals.share, seed)
    n_factors = factors.shape[1]
    identity = torch.eye(n_factors, device=factors.device)
    n_classes, n_genes = marginals.share.shape
    none = factors.new_zeros(n_genes, n_factors)
    latent = Latent(
        none,
        none,
        factors.new_ones(n_genes),
        identity.repeat(n_classes, 1, 1),
        factors.new_zeros(n_classes, n_factors),
        *(marginals.share,) * 3,
    )
    latent = calibrated(latent, marginals.share)
    kept: list[tuple[torch.Tensor, ...]] = []
    for step in range(N_ROUNDS):
        latent = _with_loadings(latent, data, factors, n_steps=1 if step else 3)
        if step >= N_ROUNDS - N_AVERAGED:
            kept.append((latent.presence, latent.value, latent.noise))
        if step == N_ROUNDS - 1:
            parts = (torch.stack(part).mean(0) for part in zip(*kept, strict=True))
            presence, value, noise = parts
            latent = replace(latent, presence=presence, value=value, noise=noise)
        latent = calibrated(latent, marginals.share)
        factors = _drawn(latent, data, rng)
        latent, factors = _with_covariances(
            latent, factors, data.labels, is_free=step < N_ROUNDS - N_AVERAGED
        )
        latent = calibrated(latent, marginals.share)
    return _filled(replace(latent, centre=_centres(latent, data)))


def _filled(latent: Latent) -> Latent:
    """The model with `N_FACTORS` factors; those that small data lack have no loadings."""
    missing = N_FACTORS - latent.presence.shape[1]
    pad = torch.nn.functional.pad
    rest = torch.eye(N_FACTORS, device=latent.presence.device)
    rest[: -missing or None, : -missing or None] = 0
    return replace(
        latent,
        presence=pad(latent.presence, (0, missing)),
        value=pad(latent.value, (0, missing)),
        covariance=pad(latent.covariance, (0, missing, 0, missing)) + rest,
        centre=pad(latent.centre, (0, missing)),
    )


class _Data(NamedTuple):
    """Some of the samples: presences and normal scores (samples × genes), and labels."""

    present: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor


def _read(rows: Rows, labels: torch.Tensor, marginals: Marginals) -> _Data:
    """Read at most `MAX_SAMPLES` samples, evenly of what comes in order."""
    n_most = max(min(MAX_SAMPLES, MAX_VALUES // rows.n_genes), len(marginals.share))
    n_all = len(rows)
    index = torch.arange(n_all, device=labels.device)
    if n_all > n_most:
        # About the same share of each class; one left out has the covariance of all.
        order = labels.argsort(stable=True)
        index = (
            order[torch.linspace(0, n_all - 1, n_most, device=order.device).long()].sort().values
        )
    present = torch.empty(len(index), rows.n_genes, device=labels.device)
    scores = torch.zeros_like(present)
    for block in torch.arange(len(index), device=labels.device).split(BLOCK):
        x, own = rows[index[block]], labels[index[block]]
        is_present = (x > 0) | marginals.always
        sample, gene = is_present.nonzero(as_tuple=True)
        part = torch.zeros_like(x)
        part[sample, gene] = find_scores(marginals, x[sample, gene], own[sample], gene)
        present[block], scores[block] = is_present.float(), part
    return _Data(present, scores, labels[index])


def _first_factors(data: _Data, share: torch.Tensor, seed: int) -> torch.Tensor:
    """Principal components of presences and scores, each with variance 1."""
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 (slow to import)

    n_samples, n_genes = data.present.shape
    n_factors = max(1, min(N_FACTORS, n_genes // 2, n_samples // 3))
    chance = share[data.labels]
    spread = (chance * (1 - chance)).clamp_min(0.02).sqrt()
    start = torch.cat([(data.present - chance) / spread, data.scores], 1)
    left = randomized_svd(start.cpu().numpy(), n_factors, n_iter=4, random_state=seed)[0]
    return torch.from_numpy(left * math.sqrt(n_samples)).to(data.scores)


def _with_loadings(latent: Latent, data: _Data, factors: torch.Tensor, n_steps: int) -> Latent:
    """Ridge regression of scores on the factors, and steps of logistic regression of presences."""
    n_genes, n_factors = latent.presence.shape
    identity = torch.eye(n_factors, device=factors.device)
    present, labels = data.present, data.labels
    squares = (factors[:, :, None] * factors[:, None, :]).flatten(1)
    centred = present * (data.scores / latent.gain[labels] - latent.offset[labels])
    gram = (present.T @ squares).view(n_genes, n_factors, n_factors)
    product = centred.T @ factors
    penalty = RIDGE * latent.noise[:, None, None] * identity
    value = torch.linalg.solve(gram + penalty, product[..., None])[..., 0]
    rest = centred.square().sum(0) - 2 * (value * product).sum(1)
    rest = rest + (value * (gram @ value[..., None])[..., 0]).sum(1)
    noise = (rest + NOISE_PRIOR) / (present.sum(0) + NOISE_PRIOR)
    presence, intercept = latent.presence, latent.intercept[labels]
    for _ in range(n_steps):
        chance = torch.addmm(intercept, factors, presence.T).sigmoid_()
        gradient = (present - chance).T @ factors - RIDGE * presence
        variance = chance.addcmul_(chance, chance, value=-1)
        hessian = (variance.T @ squares).view_as(gram) + RIDGE * identity
        step = torch.linalg.solve(hessian, gradient[..., None])[..., 0]
        presence = presence + step.clamp(-1, 1)
    return replace(latent, presence=presence, value=value, noise=noise.clamp(0.05, 2))


def _posteriors(latent: Latent, data: _Data) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Posteriors of the factors, a block of samples at a time."""
    products = products_of(latent)
    parts = (part.split(BLOCK) for part in data)
    for present, scores, labels in zip(*parts, strict=True):
        yield find_posterior(latent, products, present, scores, labels)


def _drawn(latent: Latent, data: _Data, rng: torch.Generator) -> torch.Tensor:
    """A posterior draw of the factors of each sample."""
    n_samples, n_factors = len(data.labels), latent.presence.shape[1]
    noise = torch.randn(n_samples, n_factors, generator=rng).to(data.scores.device).split(BLOCK)
    posteriors = zip(_posteriors(latent, data), noise, strict=True)
    return torch.cat([draw_factors(*posterior, part) for posterior, part in posteriors])


def _centres(latent: Latent, data: _Data) -> torch.Tensor:
    """Mean of each class's factors, shrunk to 0."""
    modes = torch.cat([mode for mode, _ in _posteriors(latent, data)])
    sums = torch.zeros_like(latent.centre).index_add_(0, data.labels, modes)
    counts = torch.bincount(data.labels, minlength=len(sums))
    return sums / (counts + COVARIANCE_PRIOR)[:, None]


def _with_covariances(
    latent: Latent, factors: torch.Tensor, labels: torch.Tensor, *, is_free: bool
) -> tuple[Latent, torch.Tensor]:
    """Covariance of each class, shrunk to that of all; `is_free` scales that of all to one."""
    total = factors.T @ factors / len(factors)
    covariance = torch.stack(
        [
            (own.T @ own + COVARIANCE_PRIOR * total) / (len(own) + COVARIANCE_PRIOR)
            for own in (factors[labels == label] for label in range(len(latent.covariance)))
        ]
    )
    presence, value = latent.presence, latent.value
    if is_free:
        root = torch.linalg.cholesky(total)
        inverse = torch.linalg.inv(root)
        presence, value, factors = presence @ root, value @ root, factors @ inverse.T
        covariance = inverse @ covariance @ inverse.T
    moved = replace(latent, presence=presence, value=value, covariance=covariance)
    return moved, factors


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
