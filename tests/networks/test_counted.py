from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest, truncexpon

from scgan_perturb.estimates._lattice import Lattice
from scgan_perturb.networks._counted import RATE, CountedRows, blurred, sharpened
from scgan_perturb.networks._draws import keys_of
from tests.estimates.rows import Rows

RNG = np.random.default_rng(0)
COUNTS = torch.tensor(RNG.poisson(RNG.gamma(0.5, 4, 50), (200, 50)), dtype=torch.float32)
KEYS = keys_of(COUNTS)


def test_sharpened_counts_are_those_that_were_blurred():
    values = blurred(COUNTS, KEYS)
    is_present = COUNTS > 0
    assert torch.equal(values > 0, is_present)
    assert torch.equal(sharpened(values[is_present]), COUNTS[is_present])


def test_large_counts_come_back_but_for_rounding():
    counts = torch.tensor([[900.0, 4_000.0, 30_000.0]])
    found = sharpened(blurred(counts, keys_of(counts)))
    torch.testing.assert_close(found, counts, rtol=1e-3, atol=1)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_within_a_count_numbers_are_exponential(count):
    counts = torch.full((50, 40), float(count))
    keys = keys_of(torch.arange(50.0)[:, None])
    part = blurred(counts, keys).expm1() - (count - 1)
    assert kstest(part.flatten(), truncexpon(RATE, scale=1 / RATE).cdf).pvalue > 0.01


def test_a_sample_is_blurred_alike_in_any_company_and_by_parts():
    whole = blurred(COUNTS, KEYS)
    assert torch.equal(blurred(COUNTS[5:6], KEYS[5:6]), whole[5:6])
    assert torch.equal(blurred(COUNTS[:, 10:30], KEYS, first_gene=10), whole[:, 10:30])


def test_rows_read_by_samples_and_by_genes_are_the_same():
    """Whatever the order."""
    sizes = torch.tensor(RNG.lognormal(0, 0.3, 200), dtype=torch.float32)
    counts = COUNTS.clone()
    counts[:, 0] = 1
    values = (counts / sizes[:, None]).log1p()
    minimum, span = values.amin(0), values.amax(0) - values.amin(0)
    x = (values - minimum) / span
    lattice = Lattice(minimum, span, torch.zeros(1), torch.zeros(1))
    rows = CountedRows(Rows(x), lattice)
    index = torch.arange(len(rows)).flip(0)
    assert torch.equal(rows.columns(slice(3, 20)), rows[index].flip(0)[:, 3:20])
    is_present = counts > 0
    assert torch.equal(sharpened(rows[index].flip(0)[is_present]), counts[is_present])
    assert rows.n_genes == 50
