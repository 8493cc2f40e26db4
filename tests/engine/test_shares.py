from __future__ import annotations

import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scgan_perturb.engine._processes import part
from scgan_perturb.engine._shares import share, share_of_hits

N_SAMPLES, N_PROCESSES = 17, 5


def process(rank: int, world_size: int = N_PROCESSES) -> SimpleNamespace:
    """What is asked of a fabric."""
    return SimpleNamespace(world_size=world_size, global_rank=rank, device=torch.device("cpu"))


@pytest.mark.parametrize("n", [0, 3, 5, 17, 20])
def test_parts_are_all_there_is_in_order_and_alike_in_size(n):
    parts = [np.arange(n)[part(process(rank), n)] for rank in range(N_PROCESSES)]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(n))
    sizes = [len(own) for own in parts]
    assert max(sizes) - min(sizes) <= 1


def test_weighted_means_of_shares_average_to_the_mean_of_the_batch():
    x = np.random.default_rng(0).normal(size=N_SAMPLES)
    shares = [share(process(rank), N_SAMPLES) for rank in range(N_PROCESSES)]
    weighted = [mine.weight * x[mine.rows].mean() for mine in shares]
    np.testing.assert_allclose(np.mean(weighted), x.mean())


def test_one_process_has_all_at_weight_one():
    mine = share(process(0, 1), N_SAMPLES)
    assert (mine.rows, mine.weight) == (slice(0, N_SAMPLES), 1.0)


def test_a_batch_of_fewer_samples_than_processes_is_an_error():
    with pytest.raises(ValueError, match=r"5 processes cannot share 4 samples.* Raise batch_size"):
        share(process(0), 4)


def test_hits_are_counted_over_batches():
    hits = [torch.tensor([True, False, True]), torch.tensor([True])]
    assert share_of_hits(process(0, 1), hits) == 0.75
    assert np.isnan(share_of_hits(process(0, 1), []))


def test_hits_are_counted_as_they_come():
    made = []

    def batches():
        for i in range(5):
            assert sum(batch() is not None for batch in made) <= 1  # the last one
            batch = torch.tensor([True, i == 0])
            made.append(weakref.ref(batch))
            yield batch
            del batch

    assert share_of_hits(process(0, 1), batches()) == pytest.approx(0.6)
