from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scgan_perturb.estimates._lattice import (
    Lattice,
    estimate_lattice,
    find_counts,
    find_sizes,
    from_counts,
    log_depths,
)
from scgan_perturb.estimates._samples import Samples
from tests.estimates.rows import Rows

N_GENES, N_SAMPLES = 40, 60


def counted(log_size: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Counts of samples, and their size factors, which vary more than their depths."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.5, 4, N_GENES), (N_SAMPLES, N_GENES))
    counts[:, 0] = 1  # every sample has a gene with one count
    return counts, np.exp(log_size + rng.normal(0, 0.3, N_SAMPLES))


def logged(counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return np.log1p(counts / sizes[:, None])


def scaled(values: np.ndarray) -> tuple[Lattice, torch.Tensor]:
    """The range of the values, and these scaled."""
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


def test_the_counts_and_size_factors_of_samples_are_found():
    counts, sizes = counted(0.5)
    lattice, x = scaled(logged(counts, sizes))
    found = find_sizes(lattice, x)
    np.testing.assert_allclose(found, np.log(sizes), atol=1e-3)
    np.testing.assert_array_equal(find_counts(lattice, x, found), counts)
    part = slice(7, 19)
    np.testing.assert_array_equal(find_counts(lattice, x[:, part], found, part), counts[:, part])
    np.testing.assert_allclose(log_depths(torch.tensor(counts)), np.log(counts.sum(1)), rtol=1e-5)
    back = from_counts(lattice, torch.tensor(counts, dtype=torch.float32), found)
    torch.testing.assert_close(back, x, atol=1e-4, rtol=0)


def test_the_size_factor_of_a_sample_without_counts_is_finite():
    lattice, x = scaled(logged(*counted(0.5)))
    lattice = replace(lattice, minimum=0 * lattice.minimum)
    assert find_sizes(lattice, torch.zeros_like(x[:1])).isfinite().all()
    assert log_depths(torch.zeros(1, 3)) == 0


def test_counts_beyond_the_training_range_become_its_end():
    lattice, x = scaled(logged(*counted(0.5)))
    found = from_counts(lattice, torch.full_like(x, 1e6), torch.zeros(len(x)))
    assert (found == 1).all()


def test_size_factors_follow_the_depth_exactly_where_samples_have_one_total():
    counts, _ = counted(0)
    found = estimate(logged(counts, counts.sum(1) / 300), np.zeros(N_SAMPLES, dtype=int), 1)
    assert found.slope.item() == pytest.approx(1, abs=1e-3)
    assert found.size.item() == pytest.approx(-np.log(300), abs=1e-2)


def test_of_chosen_genes_size_and_slope_are_those_of_a_regression_within_groups():
    (one, sizes_one), (two, sizes_two) = counted(0.2), counted(1.5, seed=1)
    counts, groups = np.concatenate([one, two]), np.repeat([0, 1], N_SAMPLES)
    log_sizes = np.log(np.concatenate([sizes_one, sizes_two]))
    depths = np.log(counts.sum(1))
    found = estimate(logged(counts, np.exp(log_sizes)), groups, 2)
    design = np.column_stack([groups == 0, groups == 1, depths])
    size_one, size_two, slope = np.linalg.lstsq(design, log_sizes, rcond=None)[0]
    assert found.slope.item() == pytest.approx(slope, abs=1e-3)
    np.testing.assert_allclose(found.size, [size_one, size_two], atol=1e-2)


def test_a_context_without_samples_of_a_class_gets_what_the_class_does_elsewhere():
    """Classes in contexts; the last group, class 1 in context 1, did not train."""
    logs = {0: 0.0, 1: 1.0, 2: 0.6}
    parts = [logged(*counted(log, seed=group)) for group, log in logs.items()]
    found = estimate(np.concatenate(parts), np.repeat(list(logs), N_SAMPLES), 4, n_contexts=2)
    shifts = (found.size - found.size[0]).numpy()
    np.testing.assert_allclose(shifts[3], shifts[1] + shifts[2], atol=0.05)
    assert shifts[1] == pytest.approx(1, abs=0.4)


def test_a_group_of_few_samples_leans_on_the_effects_of_class_and_context():
    logs = (0.0, 1.0, 0.6)
    parts = [logged(*counted(log, seed=group)) for group, log in enumerate(logs)]
    odd = logged(*counted(5.0, seed=3))[:1]
    groups = [*np.repeat([0, 1, 2], N_SAMPLES), 3]
    found = estimate(np.concatenate([*parts, odd]), np.array(groups), 4, n_contexts=2).size
    assert found[1] + found[2] - found[0] < found[3] < found[0] + 3.5
