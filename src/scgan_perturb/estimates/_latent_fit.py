"""Fit the factor model to samples, by stochastic expectation maximisation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from ._latent import N_FACTORS, Latent, calibrated, draw_factors, find_posterior, products_of
from ._marginals import find_scores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._marginals import Marginals
    from ._samples import Rows

# All constants: chosen on inner validation samples of three data sets, docs/method.md.
MAX_VALUES = 2**26  # of samples × genes that the factors are estimated from
MAX_SAMPLES = 4096
N_ROUNDS, N_AVERAGED = 12, 5  # of stochastic expectation maximisation; the last ones' loadings
RIDGE = 4.0  # prior precision of loadings
# Samples at which a class's covariance weighs as much as that of all: the likeliest of these.
COVARIANCE_PRIORS = tuple(2.0 ** (power / 2) for power in range(15))
CENTRE_PRIOR = 20  # samples at which the mean of a class's factors is halved
NOISE_PRIOR = 5  # worth of a noise of 1, in values
BLOCK = 512  # samples at a time


def estimate_latent(rows: Rows, labels: torch.Tensor, marginals: Marginals, seed: int) -> Latent:
    """Fit the factor model by stochastic expectation maximisation.

    Parameters
    ----------
    rows
        Training samples.
    labels
        Position of the group of each.
    marginals
        The marginals of the groups.
    seed
        Seed of the draws.
    """
    rng = torch.Generator().manual_seed(seed)
    data = _read(rows, labels, marginals)
    factors = _first_factors(data, marginals.share, seed)
    n_factors = factors.shape[1]
    identity = torch.eye(n_factors, device=factors.device)
    n_groups, n_genes = marginals.share.shape
    none = factors.new_zeros(n_genes, n_factors)
    latent = Latent(
        none,
        none,
        factors.new_ones(n_genes),
        identity.repeat(n_groups, 1, 1),
        factors.new_zeros(n_groups, n_factors),
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
        if step == 0:  # while classes are alike: later their own covariances shape the draws
            prior = _covariance_prior(factors, data.labels, n_groups)
        latent, factors = _with_covariances(
            latent,
            factors,
            data.labels,
            marginals.n_contexts,
            prior,
            is_free=step < N_ROUNDS - N_AVERAGED,
        )
        latent = calibrated(latent, marginals.share)
    return _filled(replace(latent, centre=_centres(latent, data, marginals.n_contexts)))


def flops_of_estimates(n_genes: int, n_samples: int) -> float:
    """Floating-point operations of the largest product of a round of the fit."""
    n_values = min(n_samples, MAX_SAMPLES) * n_genes
    return 2.0 * N_FACTORS**2 * min(n_values, MAX_VALUES)


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


def _centres(latent: Latent, data: _Data, n_contexts: int) -> torch.Tensor:
    """Mean of each group's factors, shrunk to that of its context, and this to 0."""
    modes = torch.cat([mode for mode, _ in _posteriors(latent, data)])
    centre = torch.zeros_like(latent.centre)
    for n_groups in _levels(len(centre), n_contexts):
        labels = data.labels % n_groups
        sums = modes.new_zeros(n_groups, modes.shape[1]).index_add_(0, labels, modes)
        counts = torch.bincount(labels, minlength=n_groups)[:, None]
        before = centre[:n_groups]
        centre = (sums + CENTRE_PRIOR * before) / (counts + CENTRE_PRIOR)
        centre = centre.repeat(len(latent.centre) // n_groups, 1)
    return centre


def _levels(n_groups: int, n_contexts: int) -> tuple[int, ...]:
    """Numbers of groups to estimate: of the contexts, where there are several, and of all."""
    return (n_groups,) if n_contexts == 1 else (n_contexts, n_groups)


def _with_covariances(
    latent: Latent,
    factors: torch.Tensor,
    labels: torch.Tensor,
    n_contexts: int,
    prior: float,
    *,
    is_free: bool,
) -> tuple[Latent, torch.Tensor]:
    """Covariance of each group, shrunk to that of its context, and this to that of all.

    `is_free` scales that of all to one.
    """
    total = factors.T @ factors / len(factors)
    n_all = len(latent.covariance)
    covariance = total.expand(n_all, *total.shape)
    for n_groups in _levels(n_all, n_contexts):
        products, counts = _products(factors, labels % n_groups, n_groups)
        covariance = (products + prior * covariance[:n_groups]) / (counts + prior)
        covariance = covariance.repeat(n_all // n_groups, 1, 1)
    presence, value = latent.presence, latent.value
    if is_free:
        root = torch.linalg.cholesky(total)
        inverse = torch.linalg.inv(root)
        presence, value, factors = presence @ root, value @ root, factors @ inverse.T
        covariance = inverse @ covariance @ inverse.T
    moved = replace(latent, presence=presence, value=value, covariance=covariance)
    return moved, factors


def _products(
    factors: torch.Tensor, labels: torch.Tensor, n_classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over the samples of each class of factor × factor, and the numbers of samples.

    Classes × factors × factors, and classes × 1 × 1.
    """
    groups = [factors[labels == label] for label in range(n_classes)]
    counts = factors.new_tensor([len(group) for group in groups])
    return torch.stack([group.T @ group for group in groups]), counts[:, None, None]


def _covariance_prior(factors: torch.Tensor, labels: torch.Tensor, n_classes: int) -> float:
    """How many samples the covariance of all classes is worth: the likeliest of `COVARIANCE_PRIORS`.

    The covariance of a class has an inverse Wishart distribution about that of all. Covariances of
    tissues differ more than those of blood cells; one number for both would harm one of them.
    """
    products, counts = (part.double() for part in _products(factors, labels, n_classes))
    n_factors = factors.shape[1]
    prior = torch.tensor(COVARIANCE_PRIORS, dtype=torch.float64, device=factors.device)
    scale = prior[:, None, None] * products.sum(0) / len(factors)
    before = (prior + n_factors + 1)[:, None] / 2
    after = before + counts.flatten() / 2
    likelihood = torch.special.multigammaln(after, n_factors)
    likelihood = likelihood - torch.special.multigammaln(before, n_factors)
    likelihood = likelihood + before * torch.logdet(scale)[:, None]
    likelihood = likelihood - after * torch.logdet(scale[:, None] + products)
    return COVARIANCE_PRIORS[int(likelihood.sum(1).argmax())]
