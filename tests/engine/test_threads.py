from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from scgan_perturb.engine._threads import FLOPS_PER_THREAD, threads_for


@pytest.fixture
def set_limit():
    """Set what a user sets; put back at the end."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def threads_within(work: float) -> int:
    with threads_for(work * FLOPS_PER_THREAD):
        return torch.get_num_threads()


@pytest.mark.parametrize(
    ("work", "limit", "expected"),
    [
        pytest.param(0.01, 4, 1, id="small work"),
        pytest.param(2.5, 4, 2, id="more work"),
        pytest.param(100, 4, 4, id="much work"),
        pytest.param(100, 1, 1, id="the limit of the user"),
    ],
)
def test_the_number_of_threads_fits_the_work_and_is_restored(work, limit, expected, set_limit):
    set_limit(limit)
    assert threads_within(work) == expected
    assert torch.get_num_threads() == limit


def test_threads_are_restored_after_an_error(set_limit):
    set_limit(3)
    with pytest.raises(KeyError), threads_for(0):
        raise KeyError
    assert torch.get_num_threads() == 3


def test_work_within_work_uses_no_more_threads(set_limit):
    set_limit(3)
    with threads_for(0):
        assert threads_within(100) == 1


def test_a_thread_beside_the_main_one_keeps_its_number(set_limit):
    set_limit(2)
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(torch.get_num_threads).result()
        assert pool.submit(threads_within, 0).result() == before
