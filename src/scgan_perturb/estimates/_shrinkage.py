"""Empirical Bayes: how far an estimate of a small class leans on other classes."""

from __future__ import annotations

import math

import numpy as np
import torch

EM_STEPS = 40  # of the weights of a mixture: more change no estimate by 1 % of its error
SUM_WEIGHT = 1e3  # how strictly weights of similar classes add up to 1


def mixture_weights(log_likelihood: torch.Tensor, is_known: torch.Tensor) -> torch.Tensor:
    """Posterior weights of the components of a prior that all genes of a class share.

    The prior's weights are fitted by expectation maximisation over the genes of each class
    (Stephens 2017, "False discovery rates: a new deal").

    Parameters
    ----------
    log_likelihood
        Of each estimate under each component, classes × genes × components.
    is_known
        Which estimates rest on data, classes × genes; the prior is fitted on these.
    """
    likelihood = (log_likelihood - log_likelihood.amax(-1, keepdim=True)).exp()
    shape = (*likelihood.shape[:-2], 1, likelihood.shape[-1])
    prior = likelihood.new_full(shape, 1 / likelihood.shape[-1])
    counted = is_known[..., None].to(likelihood.dtype)
    for _ in range(EM_STEPS):
        posterior = likelihood * prior
        posterior /= posterior.sum(-1, keepdim=True)
        # No component ever loses all weight.
        prior = (posterior * counted).sum(-2, keepdim=True) + 1e-3
        prior /= prior.sum(-1, keepdim=True)
    posterior = likelihood * prior
    return posterior / posterior.sum(-1, keepdim=True)


def similar_classes(features: torch.Tensor) -> torch.Tensor:
    """For each class the mixture of the other classes that is nearest to it.

    Parameters
    ----------
    features
        Description of each class, classes × features, at least three classes.

    Returns
    -------
    Weights ≥ 0, classes × classes, with rows that sum to 1 and a diagonal of 0.
    """
    from scipy.optimize import nnls  # noqa: PLC0415 (slow to import)

    n_classes = len(features)
    points = features.double().cpu().numpy()
    weights = np.zeros((n_classes, n_classes))
    for label in range(n_classes):
        others = np.flatnonzero(np.arange(n_classes) != label)
        # A further equation asks that the weights sum to 1.
        heavy = SUM_WEIGHT * (np.abs(points).max() + 1e-9) * math.sqrt(points.shape[1])
        equations = np.vstack([points[others].T, np.full(len(others), heavy)])
        found, _ = nnls(equations, np.append(points[label], heavy), maxiter=100 * n_classes)
        weights[label, others] = found / found.sum()
    return torch.from_numpy(weights).to(features)
