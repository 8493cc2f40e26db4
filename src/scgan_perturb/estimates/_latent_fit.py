"""Fit the factor model to samples, by stochastic expectation maximisation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from ._latent import N_FACTORS, Latent, calibrated, draw_factors, find_posterior, products_of
from ._marginals import find_scores

if TYPE_CHECKING:
    from ._marginals import Marginals
    from ._samples import Rows

# All constants: chosen on inner validation samples of three data sets, docs/method.md.
MAX_VALUES = 2**26  # of samples × genes that the factors are estimated from
MAX_SAMPLES = 4096
N_ROUNDS, N_AVERAGED = 12, 5  # of stochastic expectation maximisation; the last ones' loadings
RIDGE = 4.0  # prior precision of loadings
COVARIANCE_PRIOR = 20  # samples at which a class's covariance weighs as much as that of all
N_FOLDS, MAX_RIDGE, POWER, DEBUG = 4, 1e4, 1, False
NOISE_PRIOR = 5  # worth of a noise of 1, in values
BLOCK = 512  # samples at a time


def estimate_latent(rows: Rows, labels: torch.Tensor, marginals: Marginals, seed: int) -> Latent:
    """Fit the factor model by stochastic expectation maximisation.

    The factors of a sample are drawn with loadings that samples of other folds gave: else few
    samples of many genes would have loadings that repeat the noise of each.

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
    folds = _folds(data.labels)
    ridge = factors.new_full((2, n_factors), RIDGE)
    kept: list[tuple[torch.Tensor, ...]] = []
    for step in range(N_ROUNDS):
        latent, presence, value, ridge = _with_loadings(
            latent, data, factors, folds, ridge, n_steps=1 if step else 3
        )
        if step >= N_ROUNDS - N_AVERAGED:
            kept.append((latent.noise, presence, value))
        if step == N_ROUNDS - 1:
            noise, presence, value = (torch.stack(part).mean(0) for part in zip(*kept, strict=True))
            latent = replace(latent, presence=presence[0], value=value[0], noise=noise)
        latent = calibrated(latent, marginals.share)
        factors = _drawn(latent, data, folds, presence, value, rng)
        latent, factors = _with_covariances(
            latent,
            factors,
            data.labels,
            marginals.n_contexts,
        )
        latent = calibrated(latent, marginals.share)
    if DEBUG: print(ridge.round().int().tolist())
    return _filled(latent)


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


def _folds(labels: torch.Tensor) -> torch.Tensor:
    """The fold of each sample; each group is spread over all folds."""
    order = labels.argsort(stable=True)
    folds = torch.empty_like(order)
    folds[order] = torch.arange(len(order), device=order.device) % N_FOLDS
    return folds


def _with_loadings(latent, data, factors, folds, ridge, n_steps):
    """Ridge regression of scores on the factors, and steps of logistic regression of presences."""
    labels = data.labels
    n_genes, n_factors = latent.presence.shape
    first, second = torch.triu_indices(n_factors, n_factors, device=factors.device)
    pair = torch.empty(n_factors, n_factors, dtype=torch.long, device=first.device)
    pair[first, second] = pair[second, first] = torch.arange(len(first), device=first.device)
    squares = factors[:, first] * factors[:, second]
    members = [(folds == k).nonzero().flatten() for k in range(N_FOLDS)]
    gram, product, total = [], [], []
    for own in members:
        centred = data.scores[own] / latent.gain[labels[own]] - latent.offset[labels[own]]
        centred *= data.present[own]
        gram.append(data.present[own].T @ squares[own])
        product.append(centred.T @ factors[own])
        total.append(centred.square().sum(0))
    noise = latent.noise
    variance = _signal(product, [g[:, pair.diagonal()] for g in gram])
    ridge_value = 1 / variance.clamp(1 / MAX_RIDGE, 1 / RIDGE)
    value = _solved(gram, product, noise[:, None] * ridge_value, pair)
    rest = sum(
        t - 2 * (v * b).sum(1) + (v * (g[:, pair] @ v[..., None])[..., 0]).sum(1)
        for t, v, b, g in zip(total, value[1:], product, gram, strict=True)
    )
    n_present = data.present.sum(0)
    noise = ((rest + NOISE_PRIOR) / (n_present + NOISE_PRIOR)).clamp(0.05, 2)
    presence = latent.presence
    for _ in range(n_steps):
        gram, product = [], []
        for own in members:
            chance = torch.addmm(latent.intercept[labels[own]], factors[own], presence.T).sigmoid_()
            product.append((data.present[own] - chance).T @ factors[own])
            weight = chance.addcmul_(chance, chance, value=-1)
            gram.append(weight.T @ squares[own])
            product[-1] += (gram[-1][:, pair] @ presence[..., None])[..., 0]
        variance = _signal(product, [g[:, pair.diagonal()] for g in gram])
        ridge_presence = 1 / variance.clamp(1 / MAX_RIDGE, 1 / RIDGE)
        both = _solved(gram, product, ridge_presence.expand(n_genes, -1), pair)
        both = presence + (both - presence).clamp(-1, 1)
        presence = both[0]
    latent = replace(latent, presence=presence, value=value[0], noise=noise)
    return latent, both, value, torch.stack([ridge_presence, ridge_value])


def _signal(product, weight):
    """Mean square of true loadings, by products of estimates from different folds: factors."""
    product, weight = torch.stack(product), torch.stack(weight)
    cross = product.sum(0).square() - product.square().sum(0)
    norm = weight.sum(0).square() - weight.square().sum(0)
    w = 1 / (weight.sum(0) + 1)**POWER
    return (cross * w).sum(0) / (norm * w).sum(0).clamp_min(1e-9)


def _solved(gram, product, penalty, pair):
    """Loadings of all samples, then those without each fold."""
    gram_all, product_all = sum(gram), sum(product)
    penalty = penalty.diag_embed()
    out = []
    for g, b in zip([0, *gram], [0, *product], strict=True):
        left = (gram_all - g)[:, pair] + penalty
        out.append(torch.linalg.solve(left, (product_all - b)[..., None])[..., 0])
    return torch.stack(out)


def _drawn(latent, data, folds, presence, value, rng) -> torch.Tensor:
    """A posterior draw of the factors of each sample."""
    n_samples, n_factors = len(data.labels), latent.presence.shape[1]
    noise = torch.randn(n_samples, n_factors, generator=rng).to(data.scores.device)
    factors = torch.empty_like(noise)
    for fold in range(N_FOLDS):
        model = replace(latent, presence=presence[fold + 1], value=value[fold + 1])
        products = products_of(model)
        for own in (folds == fold).nonzero().flatten().split(BLOCK):
            posterior = find_posterior(model, products, data.present[own], data.scores[own], data.labels[own])
            factors[own] = draw_factors(*posterior, noise[own])
    return factors


def _levels(n_groups: int, n_contexts: int) -> tuple[int, ...]:
    """Numbers of groups to estimate: of the contexts, where there are several, and of all."""
    return (n_groups,) if n_contexts == 1 else (n_contexts, n_groups)


def _with_covariances(
    latent: Latent,
    factors: torch.Tensor,
    labels: torch.Tensor,
    n_contexts: int,
) -> tuple[Latent, torch.Tensor]:
    """Covariance of each group, shrunk to that of its context, and this to that of all.

    That of all is scaled to one.
    """
    total = factors.T @ factors / len(factors)
    n_all = len(latent.covariance)
    covariance = total.expand(n_all, *total.shape)
    centre = torch.zeros_like(latent.centre)
    for n_groups in _levels(n_all, n_contexts):
        members = [factors[labels % n_groups == group] for group in range(n_groups)]
        covariance = torch.stack(
            [
                (own.T @ own + COVARIANCE_PRIOR * before) / (len(own) + COVARIANCE_PRIOR)
                for own, before in zip(members, covariance, strict=False)
            ]
        ).repeat(n_all // n_groups, 1, 1)
        centre = torch.stack(
            [
                (own.sum(0) + COVARIANCE_PRIOR * before) / (len(own) + COVARIANCE_PRIOR)
                for own, before in zip(members, centre, strict=False)
            ]
        ).repeat(n_all // n_groups, 1)
    values, vectors = torch.linalg.eigh(total)
    values = values.clamp_min(1e-6).sqrt()
    root, inverse = (vectors * values) @ vectors.T, (vectors / values) @ vectors.T
    moved = replace(latent, presence=latent.presence @ root, value=latent.value @ root, covariance=inverse @ covariance @ inverse, centre=centre @ inverse)
    return moved, factors @ inverse
