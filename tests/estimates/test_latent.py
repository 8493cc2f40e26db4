from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from scipy.stats import invwishart, norm

from scgan_perturb.estimates import _latent_fit
from scgan_perturb.estimates._latent import (
    N_FACTORS,
    Latent,
    calibrated,
    draw_factors,
    find_posterior,
    products_of,
)
from scgan_perturb.estimates._latent_fit import estimate_latent
from scgan_perturb.estimates._maps import optimal_maps
from scgan_perturb.estimates._marginals import Marginals, estimate_marginals, find_scores
from tests.estimates.rows import Rows

N_CLASSES, N_GENES, N_FEW = 2, 6, 3  # factors


def random_covariances(rng: np.random.Generator, n: int, size: int) -> torch.Tensor:
    roots = rng.normal(size=(n, size, 2 * size)) / np.sqrt(2 * size)
    return torch.tensor(roots @ roots.swapaxes(1, 2), dtype=torch.float32)


@pytest.fixture
def latent() -> Latent:
    rng = np.random.default_rng(0)
    presence, value = torch.tensor(rng.normal(0, 0.7, (2, N_GENES, N_FEW)), dtype=torch.float32)
    share = torch.tensor(rng.uniform(0.1, 0.9, (N_CLASSES, N_GENES)), dtype=torch.float32)
    # Of variance 1 in all, about.
    noise = (1 - value.square().sum(1)).clamp_min(0.3)
    empty = Latent(
        presence,
        value * 0.6,
        noise,
        random_covariances(rng, N_CLASSES, N_FEW),
        torch.zeros(N_CLASSES, N_FEW),
        *(share,) * 3,
    )
    return calibrated(empty, share)


def drawn(latent: Latent, label: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Presences and scores of samples of a class, by the definition of the model."""
    rng = np.random.default_rng(seed)
    parts = {field.name: getattr(latent, field.name).double().numpy() for field in fields(Latent)}
    factors = rng.multivariate_normal(np.zeros(N_FEW), parts["covariance"][label], size=n)
    chance = expit(parts["intercept"][label] + factors @ parts["presence"].T)
    noise = rng.normal(0, np.sqrt(parts["noise"]), size=(n, N_GENES))
    scores = parts["gain"][label] * (parts["offset"][label] + factors @ parts["value"].T + noise)
    return rng.random(chance.shape) < chance, scores


@pytest.mark.parametrize("label", range(N_CLASSES))
def test_a_calibrated_model_has_the_shares_asked_for(latent, label):
    share = torch.linspace(0.05, 0.95, N_GENES).expand(N_CLASSES, -1)
    n = 200_000
    present, _ = drawn(calibrated(latent, share), label, n, seed=1)
    np.testing.assert_allclose(present.mean(axis=0), share[label], atol=5 * 0.5 / np.sqrt(n))


@pytest.mark.parametrize("label", range(N_CLASSES))
def test_scores_of_a_calibrated_model_have_mean_0_and_variance_1(latent, label):
    present, scores = drawn(latent, label, 200_000, seed=2)
    for gene in range(N_GENES):
        values = scores[present[:, gene], gene]
        assert values.mean() == pytest.approx(0, abs=0.03)
        assert values.var() == pytest.approx(1, abs=0.05)


def posterior_of(latent: Latent, n: int) -> tuple[np.ndarray, ...]:
    """Samples with their labels, and the posterior of their factors."""
    rng = np.random.default_rng(3)
    labels = rng.integers(N_CLASSES, size=n)
    present = (rng.random((n, N_GENES)) < 0.5).astype(np.float32)
    scores = (present * rng.normal(size=present.shape)).astype(np.float32)
    with torch.no_grad():
        mode, cholesky = find_posterior(
            latent, products_of(latent), *map(torch.tensor, (present, scores, labels))
        )
    return labels, present, scores, mode.numpy(), cholesky.numpy()


def minus_log_density(
    latent: Latent, label: int, present: np.ndarray, scores: np.ndarray
) -> object:
    """Of the factors of one sample, up to a constant."""
    parts = {field.name: getattr(latent, field.name).double().numpy() for field in fields(Latent)}
    precision = np.linalg.inv(parts["covariance"][label])

    def density(f: np.ndarray) -> float:
        logits = parts["intercept"][label] + parts["presence"] @ f
        mean = parts["gain"][label] * (parts["offset"][label] + parts["value"] @ f)
        spread = parts["gain"][label] * np.sqrt(parts["noise"])
        total = np.where(present > 0, log_expit(logits), log_expit(-logits)).sum()
        total += (present * norm.logpdf(scores, mean, spread)).sum()
        return -(total - 0.5 * f @ precision @ f)

    return density


def test_the_mode_is_that_of_the_log_density(latent):
    for label, present, scores, mode, _ in zip(*posterior_of(latent, 8), strict=True):
        density = minus_log_density(latent, label, present, scores)
        expected = minimize(density, np.zeros(N_FEW), tol=1e-10).x
        np.testing.assert_allclose(mode, expected, atol=1e-3)


def test_the_precision_is_the_curvature_of_the_log_density(latent):
    h = 1e-3 * np.eye(N_FEW)
    for label, present, scores, mode, cholesky in zip(*posterior_of(latent, 4), strict=True):
        at = minus_log_density(latent, label, present, scores)
        curvature = [
            [
                (at(mode + a + b) - at(mode + a - b) - at(mode - a + b) + at(mode - a - b)) / 4e-6
                for a in h
            ]
            for b in h
        ]
        np.testing.assert_allclose(cholesky @ cholesky.T, curvature, rtol=0.02, atol=0.02)


def test_draws_have_the_mean_and_the_covariance_of_the_posterior():
    rng = torch.Generator().manual_seed(0)
    precision = torch.tensor([[[4.0, 1.5, 0.0], [1.5, 1.0, 0.2], [0.0, 0.2, 2.0]]])
    mode, n = torch.tensor([1.0, -2.0, 0.5]), 100_000
    cholesky = torch.linalg.cholesky(precision).expand(n, -1, -1)
    draws = draw_factors(mode.expand(n, -1), cholesky, torch.randn(n, N_FEW, generator=rng))
    torch.testing.assert_close(draws.mean(0), mode, atol=0.02, rtol=0)
    torch.testing.assert_close(draws.T.cov(), torch.linalg.inv(precision[0]), atol=0.05, rtol=0)


def correlated(n: int, n_genes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes in which two programmes drive half of the genes each, presences and values."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    programmes = rng.normal(size=(n, 2))
    which = np.arange(n_genes) % 2
    is_present = 1.2 * programmes[:, which] + rng.logistic(size=(n, n_genes)) > 0
    values = 0.5 + 0.03 * labels[:, None] * np.arange(n_genes) / n_genes
    values = values + 0.04 * programmes[:, which] + 0.04 * rng.normal(size=(n, n_genes))
    x = np.where(is_present, values, 0)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


def fit(x: torch.Tensor, labels: torch.Tensor, seed: int = 0) -> tuple[Marginals, Latent]:
    with torch.no_grad():
        marginals = estimate_marginals(Rows(x), labels, 2)
        return marginals, estimate_latent(Rows(x), labels, marginals, seed)


def test_genes_are_as_correlated_in_the_model_as_in_the_data():
    n_genes = 40
    x, labels = correlated(2000, n_genes)
    _, found = fit(x, labels)
    rng = torch.Generator().manual_seed(1)
    root = torch.linalg.cholesky(found.covariance[0])
    factors = torch.randn(20_000, N_FACTORS, generator=rng) @ root.T
    chance = (found.intercept[0] + factors @ found.presence.T).sigmoid()
    present = torch.rand(chance.shape, generator=rng) < chance
    noise = torch.randn(chance.shape, generator=rng) * found.noise.sqrt()
    scores = found.gain[0] * (found.offset[0] + factors @ found.value.T + noise)
    same = np.add.outer(np.arange(n_genes), np.arange(n_genes)) % 2 == 0
    np.fill_diagonal(same, val=False)
    other = np.add.outer(np.arange(n_genes), np.arange(n_genes)) % 2 == 1
    own = x[labels == 0]
    for data, model in (
        ((own > 0).numpy(), present.numpy()),
        (np.where(own > 0, own, np.nan), np.where(present, scores, np.nan)),
    ):
        expected, correlation = (
            np.ma.corrcoef(np.ma.masked_invalid(part.astype(float)), rowvar=False).filled(0)
            for part in (data, model)
        )
        assert expected[same].mean() > 0.15
        assert correlation[same].mean() == pytest.approx(expected[same].mean(), abs=0.05)
        assert correlation[other].mean() == pytest.approx(expected[other].mean(), abs=0.05)


def test_factors_of_independent_genes_explain_little():
    rng = np.random.default_rng(0)
    x = np.where(rng.random((1500, 30)) < 0.5, rng.uniform(0.2, 0.8, (1500, 30)), 0)
    _, found = fit(torch.tensor(x, dtype=torch.float32), torch.arange(1500) % 2)
    total = found.covariance[0]
    explained = ((found.value @ total) * found.value).sum(1)
    assert explained.mean() < 0.15


def test_few_samples_of_many_genes_fit_new_samples_as_well():
    x, labels = correlated(490, 600)
    marginals, found = fit(x[:90], labels[:90])
    new, own = x[90:], labels[90:]
    present = (new > 0) | marginals.always
    sample, gene = present.nonzero(as_tuple=True)
    scores = torch.zeros_like(new)
    scores[sample, gene] = find_scores(marginals, new[sample, gene], own[sample], gene)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        posterior = find_posterior(found, products_of(found), present.float(), scores, own)
        factors = draw_factors(*posterior, torch.randn(len(new), N_FACTORS, generator=rng))
    left = scores / found.gain[own] - found.offset[own] - factors @ found.value.T
    assert factors.square().mean() == pytest.approx(1, abs=0.2)
    assert (left.square() / found.noise)[present].mean() < 1.6


def test_each_class_has_its_own_covariance_of_factors():
    n = 2000
    x, labels = correlated(n, 40)
    rng = np.random.default_rng(5)
    # In class 1 the values have no programme.
    alone = np.where(x > 0, 0.5 + 0.056 * rng.normal(size=x.shape), 0)
    alone = torch.tensor(alone, dtype=torch.float32)
    _, found = fit(torch.where(labels[:, None] == 1, alone, x), labels)
    explained = [
        ((found.value @ covariance) * found.value).sum(1).mean() for covariance in found.covariance
    ]
    assert explained[0] > 2 * explained[1]


def test_the_same_seed_gives_the_same_model():
    x, labels = correlated(60, 20)
    first, same, other = (fit(x, labels, seed)[1] for seed in (0, 0, 1))
    for field in fields(Latent):
        assert torch.equal(getattr(first, field.name), getattr(same, field.name))
    assert not torch.equal(first.presence, other.presence)


def test_estimates_leave_the_global_random_states_alone():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(*correlated(60, 20))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("n_samples", "n_genes", "n_factors"), [(30, 6, 3), (9, 40, 3), (2, 1, 1), (60, 64, N_FACTORS)]
)
def test_small_data_have_few_factors_and_the_rest_is_zero(n_samples, n_genes, n_factors):
    _, found = fit(*correlated(n_samples, n_genes))
    assert all(getattr(found, field.name).isfinite().all() for field in fields(Latent))
    for loadings in (found.presence, found.value):
        assert loadings.shape == (n_genes, N_FACTORS)
        assert (loadings[:, n_factors:] == 0).all()
        assert (loadings[:, :n_factors] != 0).any(0).all()
    rest = found.covariance[:, n_factors:, n_factors:]
    assert torch.equal(rest, torch.eye(N_FACTORS - n_factors).expand_as(rest))
    assert (found.covariance[:, :n_factors, n_factors:] == 0).all()
    assert (found.centre[:, n_factors:] == 0).all()


def test_of_many_samples_each_class_gives_the_same_share(monkeypatch):
    monkeypatch.setattr(_latent_fit, "MAX_SAMPLES", 40)
    x, labels = correlated(400, 10)
    labels[:100] = 0  # 250 and 150 samples
    marginals = estimate_marginals(Rows(x), labels, 2)
    data = _latent_fit._read(Rows(x), labels, marginals)
    assert torch.bincount(data.labels).tolist() == [25, 15]


def test_a_rare_class_that_is_not_read_has_a_finite_model(monkeypatch):
    monkeypatch.setattr(_latent_fit, "MAX_SAMPLES", 40)
    x, labels = correlated(400, 10)
    labels = 2 * labels
    labels[1] = 1  # between the two others
    with torch.no_grad():
        marginals = estimate_marginals(Rows(x), labels, 3)
        found = estimate_latent(Rows(x), labels, marginals, 0)
    assert all(getattr(found, field.name).isfinite().all() for field in fields(Latent))
    assert (found.centre[1] == 0).all()


def test_a_map_takes_one_covariance_to_the_other():
    covariance = random_covariances(np.random.default_rng(0), 4, 5)
    maps = optimal_maps(covariance, torch.tensor([2] * 4))
    torch.testing.assert_close(maps, maps.mT)
    reached = maps @ covariance @ maps
    torch.testing.assert_close(reached, covariance[2].expand(4, -1, -1), atol=1e-4, rtol=1e-4)
    assert (torch.linalg.eigvalsh(maps) > 0).all()


def test_the_map_between_equal_covariances_is_the_identity():
    covariance = random_covariances(np.random.default_rng(0), 1, 5).repeat(2, 1, 1)
    maps = optimal_maps(covariance, torch.tensor([0, 0]))
    torch.testing.assert_close(maps, torch.eye(5).repeat(2, 1, 1), atol=1e-4, rtol=0)


def test_of_factors_without_loadings_nothing_is_learnt(latent):
    blind = replace(
        latent, presence=torch.zeros_like(latent.presence), value=torch.zeros_like(latent.value)
    )
    labels, *_, mode, cholesky = posterior_of(blind, 4)
    np.testing.assert_allclose(mode, 0, atol=1e-6)
    expected = np.linalg.inv(latent.covariance.numpy())[labels]
    np.testing.assert_allclose(cholesky @ cholesky.swapaxes(1, 2), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("worth", [4, 32], ids=["classes-differ", "classes-alike"])
def test_the_worth_of_the_covariance_of_all_is_found(worth):
    # Covariances about the identity with the mean and the spread that the worth says.
    n_classes, n_samples, freedom = 60, 40, worth + N_FEW + 1
    covariances = invwishart.rvs(freedom, worth * np.eye(N_FEW), size=n_classes, random_state=0)
    rng = np.random.default_rng(0)
    factors = [rng.multivariate_normal(np.zeros(N_FEW), s, size=n_samples) for s in covariances]
    labels = torch.arange(n_classes).repeat_interleave(n_samples)
    found = _latent_fit._covariance_prior(torch.tensor(np.concatenate(factors)), labels, n_classes)
    assert found == pytest.approx(worth, rel=0.5)
