"""What a class does in a context, predicted from other classes and other contexts.

A *group* holds the samples of one class in one context. Groups come in the order of the classes,
and within a class in the order of the contexts.
"""

from __future__ import annotations

import math
from itertools import product

import torch

# All constants: chosen on contexts left out of blood cells and of cell lines, docs/method.md.
# Variances between contexts, and between classes, in units of the variance within a group; and how
# much larger what a class does in each context is than what it does in all contexts.
CONTEXT_VARIANCES = (0.01, 0.1, 1.0)
CLASS_VARIANCES = (1e-3, 0.03, 0.3)
INTERACTIONS = (0.3, 2.0)
OVERALL_VARIANCE = 100.0  # of the mean of all groups: it is not shrunk
SINGLE_CONTEXT = 0.3  # share of the variance between contexts that similar contexts do not share
SINGLE_GROUP = 0.05  # share of the interaction that similar contexts do not share
WIDTH = 2.0  # distance at which the correlation of contexts falls by e, in median distances
PROFILE_SAMPLES = 20  # samples that halve the weight of a group in the profile of its context
EM_STEPS = 30
N_BINS = 8  # of genes by their number of values


def pooled_groups(
    values: torch.Tensor, n_values: torch.Tensor, correlation: torch.Tensor
) -> torch.Tensor:
    """Estimate groups from their own samples and those of all others.

    A gene has a mean, a context adds its effect, a class its own, which similar contexts share in
    part (the interaction): all normal. The estimate is the posterior mean, an average over sizes of
    these effects, with weights that the data give each gene. What a class does in all contexts is
    carried to a context without samples of the class.

    Parameters
    ----------
    values
        Means of the groups, in units of their standard deviation for one sample, groups × genes.
    n_values
        Number of samples behind each, groups × genes.
    correlation
        How alike contexts are, contexts × contexts.

    Returns
    -------
    groups × genes.
    """
    estimates = torch.empty_like(values)
    order = n_values.sum(0).argsort()
    for genes in order.tensor_split(min(N_BINS, len(order))):  # of about the same numbers
        estimates[:, genes] = _pooled(values[:, genes], n_values[:, genes].mean(1), correlation)
    return estimates


def _pooled(
    values: torch.Tensor, n_values: torch.Tensor, correlation: torch.Tensor
) -> torch.Tensor:
    """Estimates of genes with the same numbers of samples."""
    is_known = n_values > 0
    noise = (1 / n_values[is_known]).diag()
    known = values[is_known]
    estimates, likelihoods = [], []
    for covariance in _covariances(len(values), correlation):
        between = covariance[is_known][:, is_known] + noise
        weights = torch.linalg.solve(between, known)
        likelihoods.append(-0.5 * (torch.logdet(between) + (known * weights).sum(0)))
        estimates.append(covariance[:, is_known] @ weights)
    posterior = _posterior(torch.stack(likelihoods))
    return sum(weight * part for weight, part in zip(posterior, estimates, strict=True))


def similar_contexts(values: torch.Tensor, n_values: torch.Tensor, n_contexts: int) -> torch.Tensor:
    """How alike contexts are: correlations that fall with the distance of their profiles.

    The profile of a context is what its groups have in common, whatever their class.

    Parameters
    ----------
    values
        Estimates of the groups, in units of their standard deviation for one sample, groups ×
        genes.
    n_values
        Number of samples behind each, groups.
    n_contexts
        Number of contexts.
    """
    shape = (-1, n_contexts, values.shape[1])
    values, counts = values.view(shape), n_values.view(-1, n_contexts, 1)
    weight = counts / (counts + PROFILE_SAMPLES)
    of_class = values.new_zeros(len(values), 1, values.shape[2])
    for _ in range(5):  # of alternating least squares
        profile = (weight * (values - of_class)).sum(0) / weight.sum(0).clamp_min(1e-9)
        of_class = (weight * (values - profile)).sum(1, keepdim=True)
        of_class = of_class / weight.sum(1, keepdim=True).clamp_min(1e-9)
        of_class = of_class - of_class[:1]
    square = profile.square().mean(1)
    noise = 1 / counts[..., 0].sum(0).clamp_min(1)
    distance = square[:, None] + square - 2 * profile @ profile.T / profile.shape[1]
    distance = (distance - noise[:, None] - noise).clamp_min(0).fill_diagonal_(0)
    above = distance[tuple(torch.triu_indices(n_contexts, n_contexts, 1))]
    correlation = (-distance / (WIDTH * above.median().clamp_min(1e-9))).exp()
    # Distances of estimates are not exactly Euclidean.
    size, axes = torch.linalg.eigh(correlation)
    correlation = (axes * size.clamp_min(1e-3)) @ axes.T
    scale = correlation.diagonal().rsqrt()
    return correlation * scale * scale[:, None]


def _covariances(n_groups: int, correlation: torch.Tensor) -> list[torch.Tensor]:
    """The covariance between groups for each combination of sizes of the effects."""
    n_contexts = len(correlation)
    classes = torch.eye(n_groups // n_contexts).to(correlation)
    ones, each = torch.ones_like, torch.eye(n_contexts).to(correlation)
    context = torch.kron(ones(classes), torch.lerp(correlation, each, SINGLE_CONTEXT))
    of_class = torch.kron(classes, ones(correlation))
    interaction = torch.kron(classes, correlation + SINGLE_GROUP * each)
    return [
        OVERALL_VARIANCE + a * context + b * of_class + b * c * interaction
        for a, b, c in product(CONTEXT_VARIANCES, CLASS_VARIANCES, INTERACTIONS)
    ]


def _posterior(log_likelihood: torch.Tensor) -> torch.Tensor:
    """Weight of each combination for each gene; their prior is fitted over all genes."""
    likelihood = (log_likelihood - log_likelihood.amax(0)).exp()
    prior = likelihood.new_full((len(likelihood), 1), 1 / len(likelihood))
    for _ in range(EM_STEPS):
        posterior = likelihood * prior
        posterior /= posterior.sum(0)
        prior = posterior.mean(1, keepdim=True) + 1e-3
    posterior = likelihood * prior
    return posterior / posterior.sum(0)
