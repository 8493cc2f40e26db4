from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from scgan_perturb.estimates._target import TargetDistribution

N_DRAWS = 200_000


def samples(n_samples: int, n_genes: int = 6) -> torch.Tensor:
    # Small variances around 0.5, so that clipping to [0, 1] changes nothing.
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(n_genes, n_genes))
    return torch.tensor(0.5 + 0.01 * rng.normal(size=(n_samples, n_genes)) @ mixing).float()


def draws(target: TargetDistribution) -> np.ndarray:
    return target.sample(N_DRAWS, torch.Generator().manual_seed(0)).double().numpy()


@pytest.mark.parametrize("n_samples", [2, 4, 30], ids=lambda n: f"{n} samples")
def test_draws_have_the_full_sample_covariance(n_samples):
    x = samples(n_samples)
    drawn = draws(TargetDistribution(x))
    expected = np.cov(x.double().numpy(), rowvar=False)
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), expected, atol=0.02 * expected.max())
    np.testing.assert_allclose(drawn.mean(axis=0), x.double().numpy().mean(axis=0), atol=1e-3)


def test_the_factor_gives_the_explicit_covariance_exactly():
    x = samples(30)
    factor = TargetDistribution(x)._factor.double().numpy()
    expected = np.cov(x.double().numpy(), rowvar=False)
    np.testing.assert_allclose(factor.T @ factor, expected, atol=1e-6 * expected.max())


def test_draws_are_normal_along_any_direction():
    from scipy.stats import kstest

    x = samples(5)
    direction = np.random.default_rng(1).normal(size=6)
    projected = draws(TargetDistribution(x))[:2000] @ direction
    spread = np.std(x.double().numpy() @ direction, ddof=1)
    centre = (x.double().numpy() @ direction).mean()
    assert kstest((projected - centre) / spread, "norm").pvalue > 0.01


def test_draws_are_clipped_to_the_unit_interval():
    x = torch.tensor([[0.0, 1.0], [0.2, 0.8], [0.1, 0.9]])
    drawn = draws(TargetDistribution(x))
    assert drawn.min() == 0
    assert drawn.max() == 1


def test_shrinkage_draws_towards_a_multiple_of_the_identity():
    x = samples(5)
    covariance = np.cov(x.double().numpy(), rowvar=False)
    expected = 0.7 * covariance + 0.3 * np.trace(covariance) / 6 * np.eye(6)
    drawn = draws(TargetDistribution(x, shrinkage=0.3))
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), expected, atol=0.02 * expected.max())


def test_ledoit_wolf_shrinks_as_scikit_learn_does():
    x = samples(8)
    expected = LedoitWolf().fit(x.numpy()).shrinkage_
    assert TargetDistribution(x, "ledoit-wolf").shrinkage == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shrinkage", [-0.1, 1.1, "oas", float("nan")])
def test_shrinkage_must_be_a_share(shrinkage):
    with pytest.raises(ValueError, match="shrinkage must be a number in"):
        TargetDistribution(samples(3), shrinkage)


def test_one_sample_is_too_few():
    with pytest.raises(ValueError, match="at least 2 training samples, not 1"):
        TargetDistribution(samples(1))
