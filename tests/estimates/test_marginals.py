from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy.stats import norm

from scgan_perturb.estimates import _marginals
from scgan_perturb.estimates._marginals import (
    LAST_KNOT,
    Marginals,
    estimate_marginals,
    find_scores,
    find_values,
    knots,
    with_moments,
)
from scgan_perturb.estimates._moments import group_moments
from tests.estimates.rows import Rows

N_GENES = 8
SHARES = np.array(
    [[0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.2, 1.0], [0.8, 0.2, 0.5, 0.3, 0.6, 0.1, 0.9, 1.0]]
)
LOCATIONS = np.array([[0.3] * N_GENES, [0.3, 0.35, 0.4, 0.45, 0.5, 0.5, 0.5, 0.6]])
SCALE = 0.05


def simulated(n_samples: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples of two classes: a skewed value above 0 with the share of the class, else 0."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(n_samples)), n_samples)
    values = LOCATIONS[labels] + SCALE * (rng.exponential(size=(len(labels), N_GENES)) - 1)
    x = np.where(rng.random(values.shape) < SHARES[labels], values, 0)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


def estimated(n_samples: tuple[int, ...] = (4000, 3000), seed: int = 0) -> Marginals:
    x, labels = simulated(n_samples, seed)
    return estimate_marginals(Rows(x), labels, len(n_samples))


@pytest.fixture(scope="module")
def many() -> Marginals:
    return estimated()


def all_finite(marginals: Marginals) -> bool:
    return all(getattr(marginals, field.name).isfinite().all() for field in fields(Marginals))


def test_moments_are_counts_sums_and_squares_of_each_class():
    x, labels = simulated((700, 400))
    moments, always = group_moments(Rows(x), labels, 2)
    assert always.tolist() == [False] * (N_GENES - 1) + [True]
    assert moments.samples.tolist() == [700, 400]
    for label in range(2):
        own = x[labels == label].double().numpy()
        np.testing.assert_array_equal(moments.present[label], (own > 0).sum(axis=0))
        np.testing.assert_allclose(moments.sums[label], own.sum(axis=0))
        np.testing.assert_allclose(moments.squares[label], (own**2).sum(axis=0))


@pytest.mark.parametrize(("n_zeros", "is_always"), [(0, True), (1, True), (2, False)])
def test_a_gene_at_its_least_value_in_one_sample_has_no_jump(n_zeros, is_always):
    x = torch.full((20, 1), 0.5)
    x[:n_zeros] = 0
    moments, always = group_moments(Rows(x), torch.arange(20) % 2, 2)
    assert always.item() is is_always
    assert moments.present.sum() == (20 if is_always else 20 - n_zeros)


def test_genes_without_a_jump_may_be_given():
    x, labels = simulated((30, 20))
    chosen = torch.arange(N_GENES) == 2
    moments, always = group_moments(Rows(x), labels, 2, chosen)
    assert torch.equal(always, chosen)
    assert moments.present[:, 2].tolist() == [30, 20]


def test_with_many_samples_shares_are_the_empirical_ones(many):
    np.testing.assert_allclose(many.share, SHARES, atol=4 * 0.5 / np.sqrt(3000))
    assert (many.share[:, -1] == 1).all()


def test_with_many_samples_locations_and_scales_are_the_empirical_ones(many):
    x, labels = simulated((4000, 3000))
    for label in range(2):
        for gene in range(N_GENES):
            values = x[labels == label, gene].numpy()
            values = values[values > 0]
            error = SCALE / np.sqrt(len(values))
            assert many.location[label, gene] == pytest.approx(values.mean(), abs=0.5 * error)
            assert many.scale[label, gene] == pytest.approx(SCALE, rel=0.2)


def test_with_many_samples_quantiles_are_the_empirical_ones(many):
    x, labels = simulated((4000, 3000))
    at = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    scores = torch.tensor(norm.ppf(at), dtype=torch.float32)
    for label in range(2):
        for gene in range(N_GENES):
            values = x[labels == label, gene].numpy()
            values = values[values > 0]
            expected = np.quantile(values, at)
            found = find_values(many, scores, *(torch.full((len(at),), i) for i in (label, gene)))
            np.testing.assert_allclose(found, expected, atol=0.2 * SCALE)


def test_a_class_of_few_samples_leans_on_the_class_that_is_like_it():
    rng = np.random.default_rng(0)
    n_genes, sizes = 200, (1000, 1000, 1000, 3)
    shares, locations = rng.uniform(0.1, 0.9, (4, n_genes)), rng.uniform(0.3, 0.6, (4, n_genes))
    shares[3], locations[3] = shares[1], locations[1]
    labels = np.repeat(np.arange(4), sizes)
    values = rng.normal(locations[labels], SCALE)
    x = np.where(rng.random(values.shape) < shares[labels], values, 0)
    rows = Rows(torch.tensor(x, dtype=torch.float32))
    found = estimate_marginals(rows, torch.tensor(labels), 4)
    few = x[labels == 3]
    counts = (few > 0).sum(axis=0)
    raw = {"share": counts / 3, "location": few.sum(axis=0) / np.maximum(counts, 1)}
    for name, truth in (("share", shares), ("location", locations)):
        known = counts > 0
        estimate = getattr(found, name)[3].numpy()
        error, raw_error = (
            np.abs(guess - truth[1])[known].mean() for guess in (estimate, raw[name])
        )
        assert error < 0.7 * raw_error
        distances = [np.abs(estimate - truth[other]).mean() for other in range(3)]
        assert np.argmin(distances) == 1


def test_find_values_undoes_find_scores_within_the_range(many):
    for label in range(2):
        for gene in range(N_GENES):
            genes = torch.full((50,), gene)
            low, high = many.low[gene].item(), many.high[gene].item()
            centre, spread = many.location[label, gene].item(), many.scale[label, gene].item()
            values = torch.linspace(max(low, centre - spread), min(high, centre + 3 * spread), 50)
            scores = find_scores(many, values, torch.full((50,), label), genes)
            inside = scores.abs() < LAST_KNOT
            assert inside.sum() > 10
            found = find_values(many, scores, torch.full((50,), label), genes)
            torch.testing.assert_close(found[inside], values[inside], rtol=0, atol=1e-5)


def test_scores_of_simulated_values_are_standard_normal(many):
    x, labels = simulated((4000, 3000), seed=1)
    sample, gene = (x > 0).nonzero(as_tuple=True)
    scores = find_scores(many, x[sample, gene], labels[sample], gene).numpy()
    for quantile in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.quantile(scores, quantile) == pytest.approx(norm.ppf(quantile), abs=0.1)


def test_values_stay_in_the_range_of_the_gene(many):
    genes = torch.arange(N_GENES)
    for score in (-100.0, 100.0):
        found = find_values(many, torch.full((N_GENES,), score), 0 * genes, genes)
        assert (found >= many.low).all()
        assert (found <= many.high).all()


def test_quantiles_rise_strictly():
    for sizes in ((4000, 3000), (1, 2), (40, 1)):
        assert (estimated(sizes).shape.diff(dim=2) > 0).all()


def test_quantiles_of_tied_values_rise_strictly():
    x = torch.tensor([0.0, 0.2, 0.2, 0.2, 1.0]).repeat(40)[:, None]
    marginals = estimate_marginals(Rows(x), torch.arange(200) % 2, 2)
    assert (marginals.shape.diff(dim=2) > 0).all()


def test_the_shape_of_few_values_is_nearly_normal():
    x = torch.tensor([[0.3], [0.5], [0.9]])
    shape = estimate_marginals(Rows(x), torch.tensor([0, 0, 1]), 2).shape
    assert (shape[:, 0] - knots()).abs().max() < 0.5


def test_genes_in_parts_have_the_same_marginals_as_all_at_once(monkeypatch):
    whole = estimated((40, 30))
    monkeypatch.setattr(_marginals, "CHUNK_VALUES", 3 * 70)
    for name, part in vars(estimated((40, 30))).items():
        assert torch.equal(part, getattr(whole, name)), name


@pytest.mark.parametrize("sizes", [(1, 1), (1, 30), (30, 1), (2, 2)])
def test_small_classes_have_finite_marginals(sizes):
    marginals = estimated(sizes)
    assert all_finite(marginals)
    assert (marginals.scale > 0).all()
    assert ((marginals.share >= 0) & (marginals.share <= 1)).all()


def test_a_gene_that_is_never_present_has_finite_marginals():
    x, labels = simulated((20, 30))
    x[:, 3] = 0
    marginals = estimate_marginals(Rows(x), labels, 2)
    assert all_finite(marginals)
    assert (marginals.share[:, 3] < 0.05).all()
    assert marginals.low[3] == marginals.high[3] == 0


def test_a_gene_that_is_never_present_in_one_class_has_finite_marginals():
    x, labels = simulated((20, 30))
    x[:20, 3] = 0
    marginals = estimate_marginals(Rows(x), labels, 2)
    assert all_finite(marginals)
    assert marginals.share[0, 3] < marginals.share[1, 3]


def test_other_moments_change_the_moments_only(many):
    x, labels = simulated((300, 500), seed=2)
    moments, _ = group_moments(Rows(x), labels, 2, many.always)
    found = with_moments(many, moments)
    assert torch.equal(found.shape, many.shape)
    alone = estimate_marginals(Rows(x), labels, 2)
    for name in ("share", "location", "scale"):
        torch.testing.assert_close(getattr(found, name), getattr(alone, name))
