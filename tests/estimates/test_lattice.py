from __future__ import annotations

import numpy as np
import pytest
import torch

from scgan_perturb.estimates._lattice import (
    Lattice,
    estimate_lattice,
    find_sizes,
    to_lattice,
    to_total,
)
from scgan_perturb.estimates._samples import Samples
from tests.estimates.rows import Rows

N_GENES, N_SAMPLES = 40, 60


def logged_counts(log_size: float, n: int = N_SAMPLES, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Logged counts of samples, and the logarithms of their size factors."""
    rng = np.random.default_rng([seed, n])
    sizes = np.exp(log_size + rng.normal(0, 0.3, n))
    counts = rng.poisson(rng.gamma(0.5, 4, N_GENES), (n, N_GENES))
    counts[:, 0] = 1  # every sample has a gene with one count
    return np.log1p(counts / sizes[:, None]), np.log(sizes)


def scaled(values: np.ndarray) -> tuple[Lattice, torch.Tensor]:
    """A lattice of the range of the values, and these scaled."""
    low, high = values.min(0), values.max(0)
    minimum, span = (
        torch.tensor(part, dtype=torch.float32) for part in (low, np.maximum(high - low, 1e-3))
    )
    x = (torch.tensor(values, dtype=torch.float32) - minimum) / span
    return Lattice(minimum, span, torch.zeros(1), torch.zeros(1)), x


def estimate(values: np.ndarray, groups: np.ndarray, n_groups: int, n_contexts: int = 1) -> Lattice:
    lattice, x = scaled(values)
    ends = torch.stack([lattice.minimum, lattice.minimum + lattice.span])
    samples = Samples(Rows(x), torch.tensor(groups))
    return estimate_lattice(samples, n_groups, n_contexts, ends)


def test_the_size_factor_of_a_sample_is_that_of_its_counts():
    values, sizes = logged_counts(0.5)
    found = find_sizes(*scaled(values))
    np.testing.assert_allclose(found, sizes, atol=1e-3)


def test_the_size_factor_of_a_sample_without_counts_is_finite():
    lattice, x = scaled(logged_counts(0.5)[0])
    lattice = Lattice(0 * lattice.minimum, *list(vars(lattice).values())[1:])
    assert find_sizes(lattice, torch.zeros_like(x[:1])).isfinite().all()


def test_groups_have_the_mean_of_their_size_factors():
    values, sizes = (
        np.concatenate(parts)
        for parts in zip(logged_counts(0.2), logged_counts(1.5, seed=1), strict=True)
    )
    found = estimate(values, np.repeat([0, 1], N_SAMPLES), 2).size
    means = sizes[:N_SAMPLES].mean(), sizes[N_SAMPLES:].mean()
    np.testing.assert_allclose(found, means, atol=0.06)


def test_a_context_without_samples_of_a_class_gets_what_the_class_does_elsewhere():
    """Classes in contexts; the last group, class 1 in context 1, did not train."""
    logs = {0: 0.0, 1: 1.0, 2: 0.6}
    parts = [logged_counts(log, seed=group)[0] for group, log in logs.items()]
    found = estimate(np.concatenate(parts), np.repeat(list(logs), N_SAMPLES), 4, n_contexts=2).size
    assert found[3] == pytest.approx(1.6, abs=0.25)


@pytest.mark.parametrize("is_same", [True, False])
def test_the_total_is_that_of_all_samples_if_they_have_the_same(is_same):
    values, _ = logged_counts(0.5)
    if is_same:
        counts = np.expm1(values)
        values = np.log1p(counts * 300 / counts.sum(1, keepdims=True))
    found = estimate(values, np.zeros(N_SAMPLES, dtype=int), 1).total
    assert found.item() == pytest.approx(300 * is_same, rel=1e-3)


def test_values_become_whole_counts_of_their_sample_one_at_least():
    values, sizes = logged_counts(0.5)
    lattice, x = scaled(values)
    lattice = Lattice(lattice.minimum, 2 * lattice.span, lattice.size, lattice.total)
    noise = 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    sample, gene = ((x > 0) & (lattice.minimum == 0)).nonzero(as_tuple=True)
    moved = (x / 2 + noise).clamp(0, 1)[sample, gene]
    log_sizes = torch.tensor(sizes, dtype=torch.float32)[sample]
    found = to_lattice(lattice, moved, log_sizes, gene)

    def counts(part):
        return (lattice.minimum[gene] + lattice.span[gene] * part).expm1() * log_sizes.exp()

    torch.testing.assert_close(counts(found), counts(moved).round().clamp_min(1), rtol=1e-3, atol=0)


def test_counts_are_divided_so_that_they_have_the_total():
    values, sizes = logged_counts(0.5)
    lattice, x = scaled(values)
    lattice = Lattice(lattice.minimum, 3 * lattice.span, lattice.size, torch.tensor([300.0]))
    x = x / 3
    found, log_sizes = to_total(lattice, x, torch.tensor(sizes, dtype=torch.float32))
    after = (lattice.minimum + lattice.span * found).expm1().numpy()
    np.testing.assert_allclose(after.sum(1), 300, rtol=1e-4)
    counts = after * log_sizes.exp().numpy()[:, None]
    np.testing.assert_allclose(
        counts, np.expm1(values) * np.exp(sizes)[:, None], rtol=1e-3, atol=1e-3
    )
