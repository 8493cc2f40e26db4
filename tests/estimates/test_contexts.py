from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from scgan_perturb.estimates import _contexts
from scgan_perturb.estimates._contexts import pooled_groups, similar_contexts
from scgan_perturb.estimates._marginals import estimate_marginals
from tests.estimates.rows import Rows

N_GENES = 400


def truth(effects: np.ndarray, seed: int = 0) -> np.ndarray:
    """Means of groups: contexts differ, and the second class adds an effect, contexts × genes."""
    contexts = np.random.default_rng(seed).normal(size=effects.shape)
    return np.concatenate([contexts, contexts + effects])


def pooled(
    means: np.ndarray, n: np.ndarray, correlation: np.ndarray | None = None, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Estimates from noisy means, and these means; groups without samples are 0."""
    noise = np.random.default_rng(seed).normal(size=means.shape)
    observed = np.where(n[:, None] > 0, means + noise / np.sqrt(n.clip(1))[:, None], 0)
    correlation = np.full((len(n) // 2,) * 2, 0.5) if correlation is None else correlation
    correlation = torch.tensor(correlation)
    correlation.fill_diagonal_(1)
    counts = torch.tensor(n, dtype=torch.float64)[:, None].expand(*means.shape)
    return pooled_groups(torch.tensor(observed), counts, correlation).numpy(), observed


def test_an_effect_is_carried_to_a_context_without_samples():
    effect = np.random.default_rng(3).normal(size=N_GENES)
    means = truth(np.tile(effect, (5, 1)))
    n = np.full(10, 400)
    n[7] = 0
    found, _ = pooled(means, n)
    error = np.sqrt(np.mean((found[7] - means[7]) ** 2))
    assert error < 0.15
    assert np.corrcoef(found[7] - means[2], effect)[0, 1] > 0.98


def test_a_context_borrows_most_from_those_like_it():
    rng = np.random.default_rng(3)
    one, other = rng.normal(size=(2, N_GENES))
    means = truth(np.stack([one, one, one, other, other, other]))
    correlation = np.kron(np.eye(2), np.full((3, 3), 0.95)) + 0.02
    n = np.full(12, 400)
    n[6] = 0
    found, _ = pooled(means, n, correlation)
    change = found[6] - means[0]
    assert np.corrcoef(change, one)[0, 1] > 0.9
    assert abs(np.corrcoef(change, other)[0, 1]) < 0.4


def test_where_no_class_differs_estimates_of_effects_are_nearly_zero():
    means = truth(np.zeros((6, N_GENES)))
    found, observed = pooled(means, np.full(12, 30))
    effects, raw = (np.sqrt(np.mean((part[6:] - part[:6]) ** 2)) for part in (found, observed))
    assert effects < 0.25 * raw


def test_with_many_samples_each_group_keeps_its_mean():
    means = truth(np.random.default_rng(5).normal(size=(4, N_GENES)))
    found, observed = pooled(means, np.full(8, 10_000))
    np.testing.assert_allclose(found, observed, atol=0.03)


def test_estimates_are_means_of_the_normal_that_the_effects_make(monkeypatch):
    """With effects of one size the estimate is that of SciPy's normal, given the observations."""
    for name in ("CONTEXT_VARIANCES", "CLASS_VARIANCES", "INTERACTIONS"):
        monkeypatch.setattr(_contexts, name, (0.5,))
    monkeypatch.setattr(_contexts, "N_BINS", 1)
    correlation = np.array([[1, 0.6, 0.1], [0.6, 1, 0.3], [0.1, 0.3, 1]])
    n = np.array([3.0, 5, 2, 4, 0, 6])
    rng = np.random.default_rng(0)
    observed = rng.normal(size=(6, 7))
    counts = torch.tensor(n)[:, None].expand(6, 7)
    found = pooled_groups(torch.tensor(observed), counts, torch.tensor(correlation)).numpy()
    covariance = np.empty((6, 6))
    for i in range(6):
        for j in range(6):
            (class_i, k), (class_j, m) = divmod(i, 3), divmod(j, 3)
            alike = correlation[k, m]
            covariance[i, j] = 100 + 0.5 * (alike if k != m else 1) * (0.7 if k != m else 1)
            if class_i == class_j:
                covariance[i, j] += 0.5 + 0.25 * (alike + 0.05 * (k == m))
    known = n > 0
    noisy = covariance[known][:, known] + np.diag(1 / n[known])
    expected = covariance[:, known] @ np.linalg.solve(noisy, observed[known])
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_similar_contexts_are_those_whose_profiles_are_near():
    rng = np.random.default_rng(0)
    centre, far = rng.normal(size=(2, 2000))
    contexts = np.stack([centre, centre + 0.2 * rng.normal(size=2000), far])
    values = np.concatenate([contexts, contexts + 1]) + 0.05 * rng.normal(size=(6, 2000))
    n = torch.full((6,), 400.0, dtype=torch.float64)
    found = similar_contexts(torch.tensor(values), n, 3)
    assert found[0, 1] > 0.8
    assert found[0, 2] < 0.7
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(found.diagonal(), torch.ones(3, dtype=torch.float64))
    assert (torch.linalg.eigvalsh(found) > 0).all()


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    """Shares of presence of two classes in three contexts; the class acts alike everywhere."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3, N_GENES))
    return stats.norm.cdf(np.stack([base, base + rng.normal(size=N_GENES)]))


@pytest.mark.parametrize("left_out", [None, 1], ids=["all seen", "a context without the class"])
def test_marginals_within_contexts_are_near_the_truth(shares, left_out):
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(6), 150)
    group = group[group != 3 + left_out] if left_out is not None else group
    location = 0.3 + 0.3 * shares
    share, centre = (part.reshape(6, -1)[group] for part in (shares, location))
    x = np.where(rng.random(share.shape) < share, rng.normal(centre, 0.05), 0).clip(0)
    rows = Rows(torch.tensor(x, dtype=torch.float32))
    found = estimate_marginals(rows, torch.tensor(group), 2, 3)
    assert found.n_contexts == 3
    assert found.shape.shape[:2] == (2, N_GENES)
    error = np.abs(found.share.numpy().reshape(2, 3, -1) - shares)
    assert error.mean(-1).max() < 0.06
    location_error = np.abs(found.location.numpy().reshape(2, 3, -1) - location)
    assert location_error[shares > 0.2].mean() < 0.02
