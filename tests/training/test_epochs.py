from __future__ import annotations

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from scgan_perturb.engine._processes import part
from scgan_perturb.training._epochs import HELD_ROWS, RUN_ROWS, run_epochs, shuffled_batches


def run(run_epoch, max_epochs, **shown) -> list[dict]:
    options = {"description": "", "progress_bar": False, **shown}
    return run_epochs(run_epoch, max_epochs, trainer=None, checkpoint=None, **options)


def batches(n_rows: int, batch_size: int) -> list[list[int]]:
    rng = torch.Generator().manual_seed(0)
    return [batch.tolist() for batch in shuffled_batches(n_rows, batch_size, rng)]


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "n_batches", "size"),
    [
        (682, 128, 6, 113),
        (256, 128, 2, 128),
        (129, 128, 2, 64),
        (5, 128, 1, 5),
        (7, 3, 3, 2),
        (5, 2, 2, 2),
    ],
)
def test_batches_are_of_one_size_and_at_most_the_one_asked_for(n_rows, batch_size, n_batches, size):
    assert [len(batch) for batch in batches(n_rows, batch_size)] == [size] * n_batches


def test_no_row_comes_twice_in_an_epoch():
    rows = [row for batch in batches(682, 128) for row in batch]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(range(682))


def test_the_order_changes_from_epoch_to_epoch():
    rng = torch.Generator().manual_seed(0)
    first, second = (torch.cat(list(shuffled_batches(64, 16, rng))) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.fixture
def held() -> list[torch.Tensor]:
    """The parts of an epoch of more rows than are held."""
    parts: list[torch.Tensor] = []
    rng = torch.Generator().manual_seed(0)
    n_before = []
    for batch in shuffled_batches(10 * HELD_ROWS, 128, rng, parts.append):
        n_before.append(len(parts))
        assert torch.equal(parts[-1][sum(n == len(parts) for n in n_before[:-1])], batch)
    return parts


def test_rows_are_announced_in_parts_no_larger_than_are_held(held):
    assert [rows.shape for rows in held] == [(HELD_ROWS // 128, 128)] * 10
    assert torch.equal(torch.cat(held).flatten().sort().values, torch.arange(10 * HELD_ROWS))


def test_a_part_is_of_whole_runs_from_all_over(held):
    runs = [rows.div(RUN_ROWS, rounding_mode="floor").unique() for rows in held]
    assert all(len(own) == HELD_ROWS // RUN_ROWS for own in runs)
    share = torch.stack([(rows < HELD_ROWS).float().mean() for rows in held])
    # Were rows drawn one by one, shares of a tenth would spread by 0.002; runs of 128 by 0.027.
    assert 0.01 < share.std() < 0.06


def test_rows_of_a_part_are_mixed(held):
    for steps in (held[0].diff(dim=0), held[0].diff(dim=1)):
        assert (steps.abs() == 1).float().mean() < 0.01


@pytest.mark.parametrize("n_processes", [2, 4, 8])
@pytest.mark.parametrize("batch_size", [128, 100])
def test_processes_that_share_batches_read_runs_of_their_own(n_processes, batch_size):
    parts: list[torch.Tensor] = []
    next(shuffled_batches(2 * HELD_ROWS, batch_size, torch.Generator(), parts.append))
    size = parts[0].shape[1]
    runs = [
        set(
            parts[0][:, part(process, size)].div(RUN_ROWS, rounding_mode="floor").flatten().tolist()
        )
        for process in (
            SimpleNamespace(world_size=n_processes, global_rank=rank) for rank in range(n_processes)
        )
    ]
    # At an end of what two share, a run may be cut.
    assert sum(map(len, runs)) <= len(set.union(*runs)) + n_processes - 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_loss_stops_with_its_epoch_and_a_remedy(value):
    losses = iter([1.0, value])
    with pytest.raises(
        FloatingPointError, match=r"loss_td became NaN .* in epoch 2.*log-normalise"
    ):
        run(lambda: {"loss_td": next(losses)}, 5)


def test_a_missing_held_out_measure_is_no_error():
    record = {"loss": 1.0, "held_out_success": float("nan")}
    history = run(lambda: record, 2)
    assert len(history) == 2


def test_the_progress_bar_shows_the_losses(capsys):
    run(lambda: {"loss_td": 12.5}, 1, description="to lung", progress_bar=True)
    shown = capsys.readouterr().err
    assert "to lung" in shown
    assert "td=12.5" in shown


def counts(script: str) -> tuple[int, int]:
    """What a new process prints, with glibc as it is by itself: Dask sets how it is to behave."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    run = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=own
    )
    first, second = map(int, run.stdout.split())
    return first, second


COUNT_FAULTS = """
import resource, torch
from scgan_perturb.training._epochs import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**21)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators differ")
def test_memory_that_a_step_frees_serves_the_next():
    before, after = counts(COUNT_FAULTS)
    assert after < before / 10
