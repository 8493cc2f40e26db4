from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm

from scgan_perturb.estimates._shrinkage import EM_STEPS, mixture_weights, similar_classes


def em(likelihood: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Posterior weights of one class by expectation maximisation, gene by gene."""
    n_components = likelihood.shape[1]
    prior = np.full(n_components, 1 / n_components)
    for _ in range(EM_STEPS):
        total = np.full(n_components, 1e-3)
        for gene in np.flatnonzero(counted):
            joint = prior * likelihood[gene]
            total += joint / joint.sum()
        prior = total / total.sum()
    joint = prior * likelihood
    return joint / joint.sum(axis=1, keepdims=True)


def test_mixture_weights_are_those_of_a_plain_em_for_each_class():
    rng = np.random.default_rng(0)
    log_likelihood = rng.normal(0, 3, size=(2, 40, 3))
    is_known = rng.random((2, 40)) < 0.7
    found = mixture_weights(torch.tensor(log_likelihood), torch.tensor(is_known))
    for label in range(2):
        expected = em(np.exp(log_likelihood[label]), is_known[label])
        np.testing.assert_allclose(found[label], expected, rtol=1e-9)


def test_mixture_weights_find_the_component_that_the_estimates_come_from():
    rng = np.random.default_rng(1)
    spreads = np.array([0.1, 1.0, 10.0])
    estimates = rng.normal(0, 1, size=(1, 2000, 1))
    found = mixture_weights(
        torch.tensor(norm.logpdf(estimates, 0, spreads)), torch.ones(1, 2000, dtype=torch.bool)
    )
    mean = found.mean((0, 1))
    assert mean[1] > 0.9


def test_very_unlikely_estimates_have_finite_weights():
    found = mixture_weights(torch.full((1, 3, 2), -1e6), torch.zeros(1, 3, dtype=torch.bool))
    torch.testing.assert_close(found, torch.full((1, 3, 2), 0.5))


def test_weights_of_similar_classes_sum_to_one_without_the_class_itself():
    features = torch.tensor(np.random.default_rng(0).normal(size=(6, 20)))
    weights = similar_classes(features)
    torch.testing.assert_close(weights.sum(1), torch.ones(6, dtype=torch.double))
    assert (weights.diagonal() == 0).all()
    assert (weights >= 0).all()


def test_a_class_that_is_a_mixture_of_two_others_is_found():
    features = np.random.default_rng(0).normal(size=(5, 20))
    features[4] = 0.3 * features[0] + 0.7 * features[2]
    found = similar_classes(torch.tensor(features))[4]
    np.testing.assert_allclose(found, [0.3, 0, 0.7, 0, 0], atol=1e-4)


def test_classes_that_are_all_alike_have_weights():
    weights = similar_classes(torch.zeros(3, 4))
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
