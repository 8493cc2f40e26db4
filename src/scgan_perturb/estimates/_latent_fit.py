"""Fit the factor model to samples, by stochastic expectation maximisation.

Few samples of many genes have loadings that repeat the noise of each sample. Its factors, drawn with
such loadings, are larger than those of new samples, and feed the loadings in turn. So the factors of
a sample are drawn with loadings that samples of other folds gave.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ._latent import N_FACTORS, Latent, calibrated, draw_factors, find_posterior, products_of
from ._loadings import N_FOLDS, Data, Loadings, find_loadings
from ._marginals import find_scores

if TYPE_CHECKING:
    from ._marginals import Marginals
    from ._samples import Rows

# All constants: chosen on inner validation samples of three data sets, docs/method.md.
MAX_VALUES = 2**26  # of samples × genes that the factors are estimated from
MAX_SAMPLES = 4096
N_ROUNDS, N_AVERAGED = 8, 4  # of stochastic expectation maximisation; the last ones' loadings
# Samples at which a class's covariance weighs as much as that of all: the likeliest of these.
COVARIANCE_PRIORS = tuple(2.0 ** (power / 2) for power in range(15))
CENTRE_PRIOR = 20  # samples at which the mean of a class's factors is halved
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
    latent = calibrated(_without_loadings(marginals.share, factors), marginals.share)
    kept: list[Loadings] = []
    for step in range(N_ROUNDS):
        loadings = find_loadings(latent, data, factors, n_steps=1 if step else 3)
        kept.append(loadings)
        if step == N_ROUNDS - 1:
            last = zip(*kept[-N_AVERAGED:], strict=True)
            loadings = Loadings(*(torch.stack(part).mean(0) for part in last))
        latent = replace(
            latent,
            presence=loadings.presence[0],
            value=loadings.value[0],
            noise=loadings.noise,
        )
        latent = calibrated(latent, marginals.share)
        modes, factors = _drawn(latent, loadings, data, rng)
        if step == 0:  # while groups are alike: later their own covariances shape the draws
            prior = _covariance_prior(factors, data.labels, len(marginals.share))
        latent = _with_groups(latent, modes, factors, data.labels, marginals.n_contexts, prior)
        latent, factors = _standardised(latent, factors)
        latent = calibrated(latent, marginals.share)
    return _filled(latent)


def flops_of_estimates(n_genes: int, n_samples: int) -> float:
    """Floating-point operations of the largest product of a round of the fit."""
    n_values = min(n_samples, MAX_SAMPLES) * n_genes
    return 2.0 * N_FACTORS**2 * min(n_values, MAX_VALUES)


def _without_loadings(share: torch.Tensor, factors: torch.Tensor) -> Latent:
    """A model in which factors say nothing of genes."""
    n_groups, n_genes = share.shape
    n_factors = factors.shape[1]
    none = factors.new_zeros(n_genes, n_factors)
    return Latent(
        none,
        none,
        factors.new_ones(n_genes),
        torch.eye(n_factors, device=factors.device).repeat(n_groups, 1, 1),
        factors.new_zeros(n_groups, n_factors),
        *(share,) * 3,
    )


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


def _read(rows: Rows, labels: torch.Tensor, marginals: Marginals) -> Data:
    """Read at most `MAX_SAMPLES` samples, about the same share of each group, fold after fold."""
    n_most = max(min(MAX_SAMPLES, MAX_VALUES // rows.n_genes), len(marginals.share))
    order = labels.argsort(stable=True)
    if len(order) > n_most:  # a group left out has the covariance of all
        order = order[torch.linspace(0, len(order) - 1, n_most, device=order.device).long()]
    index = torch.cat([order[fold::N_FOLDS] for fold in range(N_FOLDS)])
    present = torch.empty(len(index), rows.n_genes, device=labels.device)
    scores = torch.zeros_like(present)
    for block in index.argsort().split(BLOCK):  # in the order in which rows are stored
        x, own = rows[index[block]], labels[index[block]]
        is_present = (x > 0) | marginals.always
        sample, gene = is_present.nonzero(as_tuple=True)
        part = torch.zeros_like(x)
        part[sample, gene] = find_scores(marginals, x[sample, gene], own[sample], gene)
        present[block], scores[block] = is_present.float(), part
    return Data(present, scores, labels[index])


def _first_factors(data: Data, share: torch.Tensor, seed: int) -> torch.Tensor:
    """Principal components of presences and scores, each with variance 1."""
    from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 (slow to import)

    n_samples, n_genes = data.present.shape
    n_factors = max(1, min(N_FACTORS, n_genes // 2, n_samples // 3))
    chance = share[data.labels]
    spread = (chance * (1 - chance)).clamp_min(0.02).sqrt()
    start = torch.cat([(data.present - chance) / spread, data.scores], 1)
    left = randomized_svd(start.cpu().numpy(), n_factors, n_iter=4, random_state=seed)[0]
    return torch.from_numpy(left * math.sqrt(n_samples)).to(data.scores)


def _levels(n_groups: int, n_contexts: int) -> tuple[int, ...]:
    """Numbers of groups to estimate: of the contexts, where there are several, and of all."""
    return (n_groups,) if n_contexts == 1 else (n_contexts, n_groups)


def _drawn(
    latent: Latent, loadings: Loadings, data: Data, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The posterior mode of the factors of each sample, and a draw, by loadings of other folds."""
    n_samples, n_factors = len(data.labels), latent.presence.shape[1]
    noise = torch.randn(n_samples, n_factors, generator=rng).to(data.scores.device)
    modes, factors = torch.empty_like(noise), torch.empty_like(noise)
    folds = torch.arange(n_samples, device=noise.device).tensor_split(N_FOLDS)
    for fold, presence, value in zip(folds, loadings.presence[1:], loadings.value[1:], strict=True):
        without = replace(latent, presence=presence, value=value)
        products = products_of(without)
        for block in fold.split(BLOCK):
            mode, cholesky = find_posterior(without, products, *(part[block] for part in data))
            modes[block], factors[block] = mode, draw_factors(mode, cholesky, noise[block])
    return modes, factors


def _with_groups(
    latent: Latent,
    modes: torch.Tensor,
    factors: torch.Tensor,
    labels: torch.Tensor,
    n_contexts: int,
    prior: float,
) -> Latent:
    """Covariance of each group, shrunk to that of its context, and this to that of all.

    Likewise the mean, in the end to 0.
    """
    squares = (factors[:, :, None] * factors[:, None, :]).flatten(1)
    covariance, centre = squares.mean(0, keepdim=True), torch.zeros_like(modes[:1])
    n_all = len(latent.covariance)
    for n_groups in _levels(n_all, n_contexts):
        members = torch.nn.functional.one_hot(labels % n_groups, n_groups).to(factors)
        count = members.sum(0)[:, None]
        covariance, centre = (
            ((members.T @ part + worth * before[:n_groups]) / (count + worth)).repeat(
                n_all // n_groups, 1
            )
            for part, before, worth in (
                (squares, covariance, prior),
                (modes, centre, CENTRE_PRIOR),
            )
        )
    return replace(latent, covariance=covariance.view_as(latent.covariance), centre=centre)


def _standardised(latent: Latent, factors: torch.Tensor) -> tuple[Latent, torch.Tensor]:
    """The same model, with factors that have variance 1 and no correlation over all samples.

    The symmetric root moves the axes least, so that loadings of successive rounds can be averaged.
    """
    size, axes = torch.linalg.eigh(factors.T @ factors / len(factors))
    scale = size.clamp_min(1e-6).sqrt()
    root, inverse = (axes * scale) @ axes.T, (axes / scale) @ axes.T
    moved = replace(
        latent,
        presence=latent.presence @ root,
        value=latent.value @ root,
        covariance=inverse @ latent.covariance @ inverse,
        centre=latent.centre @ inverse,
    )
    return moved, factors @ inverse


def _covariance_prior(factors: torch.Tensor, labels: torch.Tensor, n_groups: int) -> float:
    """How many samples the covariance of all groups is worth: the likeliest of `COVARIANCE_PRIORS`.

    The covariance of a group has an inverse Wishart distribution about that of all. Covariances of
    tissues differ more than those of blood cells; one number for both would harm one of them.
    """
    members = [factors[labels == group].double() for group in range(n_groups)]
    products = torch.stack([part.T @ part for part in members])
    counts = products.new_tensor([len(part) for part in members])
    n_factors = factors.shape[1]
    prior = products.new_tensor(COVARIANCE_PRIORS)
    scale = prior[:, None, None] * products.sum(0) / len(factors)
    before = (prior + n_factors + 1)[:, None] / 2
    after = before + counts / 2
    likelihood = torch.special.multigammaln(after, n_factors)
    likelihood = likelihood - torch.special.multigammaln(before, n_factors)
    likelihood = likelihood + before * torch.logdet(scale)[:, None]
    likelihood = likelihood - after * torch.logdet(scale[:, None] + products)
    return COVARIANCE_PRIORS[int(likelihood.sum(1).argmax())]
