from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from scgan_perturb.networks import _draws
from scgan_perturb.networks._draws import keys_of, normal, stream_of, uniform

N_SAMPLES, N_COLUMNS = 200, 100


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(N_SAMPLES, 12, generator=torch.Generator().manual_seed(0))


def numbers(keys: torch.Tensor, stream: int = 0) -> np.ndarray:
    return uniform(keys[:, None], torch.arange(N_COLUMNS), stream).numpy()


@pytest.mark.parametrize("draw", range(3))
def test_uniform_numbers_are_uniform(x, draw):
    found = numbers(keys_of(x), stream_of(0, draw, 0))
    assert kstest(found.ravel(), "uniform").pvalue > 0.001
    assert found.min() > 0
    assert found.max() < 1


def test_uniform_numbers_of_consecutive_keys_are_uniform_and_uncorrelated():
    found = numbers(torch.arange(2000))
    assert kstest(found[:, 0], "uniform").pvalue > 0.001
    correlation = np.corrcoef(found, rowvar=False)
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)
    assert abs(np.corrcoef(found[1:, 0], found[:-1, 0])[0, 1]) < 5 / np.sqrt(2000)


def test_normal_numbers_are_standard_normal(x):
    found = normal(keys_of(x), N_COLUMNS, stream_of(3, 0, 1)).numpy()
    assert found.shape == (N_SAMPLES, N_COLUMNS)
    assert kstest(found.ravel(), "norm").pvalue > 0.001
    assert np.isfinite(found).all()


def test_numbers_differ_between_keys_and_between_columns(x):
    found = numbers(keys_of(x))
    assert len(np.unique(found, axis=0)) == N_SAMPLES
    assert len(np.unique(found, axis=1).T) == N_COLUMNS


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["seed", "draw", "use"])
def test_numbers_of_another_stream_are_unrelated(x, other):
    first, second = (numbers(keys_of(x), stream_of(*part)) for part in ((0, 0, 0), other))
    assert (first == second).mean() < 0.001
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / np.sqrt(first.size)


def test_streams_of_many_uses_all_differ():
    streams = [
        stream_of(seed, draw, use) for seed in range(20) for draw in range(20) for use in range(4)
    ]
    assert len(set(streams)) == len(streams)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**63 - 1])
def test_a_stream_of_any_seed_fits_a_signed_number_of_64_bits(seed):
    stream = stream_of(seed, 8, 3)
    assert -(2**63) <= stream < 2**63
    assert numbers(torch.arange(3), stream).shape == (3, N_COLUMNS)


def test_a_key_depends_on_the_sample_alone(x):
    keys = keys_of(x)
    assert len(keys.unique()) == N_SAMPLES
    torch.testing.assert_close(keys_of(x.flip(0)), keys.flip(0), rtol=0, atol=0)
    torch.testing.assert_close(keys_of(x[7:8]), keys[7:8], rtol=0, atol=0)


def test_a_key_depends_on_each_value_and_on_its_gene(x):
    sample, keys = x[:1], set()
    for gene in range(x.shape[1]):
        other = sample.clone()
        other[0, gene] = torch.nextafter(other[0, gene], torch.tensor(2.0))
        keys.add(keys_of(other).item())
    for shift in range(x.shape[1]):
        keys.add(keys_of(sample.roll(shift, 1)).item())
    assert len(keys) == 2 * x.shape[1]


def test_the_same_value_in_another_gene_gives_another_key():
    assert len(keys_of(torch.eye(50)).unique()) == 50


def test_minus_zero_is_zero():
    zero = torch.tensor([[0.0, 1.5]])
    assert torch.equal(keys_of(zero), keys_of(torch.tensor([[-0.0, 1.5]])))


def test_numbers_are_those_of_splitmix64():
    """Mixed in Python's integers, without the third of its steps."""
    key, column, stream = 123456789, 7, stream_of(5, 2, 1)
    mask = 2**64 - 1
    h = (key + (2 * column + 1) * 0x9E3779B97F4A7C15 + stream) & mask
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & mask
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & mask
    expected = ((h >> 40) + 0.5) / 2**24
    found = uniform(torch.tensor([key]), torch.tensor([column]), stream).item()
    assert found == pytest.approx(expected, abs=1e-7)


def test_no_uniform_number_is_0_or_1_so_that_normal_ones_are_finite(monkeypatch):
    ends = torch.tensor([0, -1])  # no bit set, and all bits
    monkeypatch.setattr(_draws, "_mixed", lambda _: ends)
    found = _draws.uniform(torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long), 0)
    assert found.min() > 0
    assert found.max() < 1
    assert torch.special.ndtri(found).isfinite().all()
