"""Shared parts of the training loops: shuffled batches, progress, history, an error at NaN."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._checkpoint import Checkpoint, Record, Trainer

LOSS_PREFIX = "loss_"
HELD_ROWS = 2**14  # rows of a matrix on disk that memory holds at a time
RUN_ROWS = 128  # long enough for a fast read, short enough to mix sorted classes
LANES = 8  # up to so many processes read disjoint rows


def shuffled_batches(
    n_rows: int,
    batch_size: int,
    rng: torch.Generator,
    hold: Callable[[torch.Tensor], None] | None = None,
) -> Iterator[torch.Tensor]:
    """Random batches of equal size, at most `batch_size`.

    A short last batch would upset batch normalisation and the compiled shape. An epoch therefore
    leaves out a few rows, fewer than the number of batches, and other rows in the next epoch.

    More than `HELD_ROWS` rows are shuffled in two steps, in memory as on disk: runs of `RUN_ROWS`
    rows are put in random order, then the rows of the runs that fit into memory are mixed. So a
    disk is read in long parts, and the batches are the same as in memory. Each of `LANES` lanes
    mixes its own runs and gives every batch the same number of rows, so a process that computes on
    a share of every batch reads only some of the runs.

    Parameters
    ----------
    n_rows
        Number of rows.
    batch_size
        Rows of a batch, at most.
    rng
        Generator of the order.
    hold
        Called with the next batches, batches × rows, before they are yielded.
    """
    n_batches = count_batches(n_rows, batch_size)
    size = n_rows // n_batches
    run = RUN_ROWS if n_rows > HELD_ROWS else 1
    starts = run * torch.randperm(math.ceil(n_rows / run), generator=rng, device=rng.device)
    order = (starts[:, None] + torch.arange(run, device=rng.device)).flatten()
    order = order[order < n_rows][: n_batches * size]
    for part in order.split(max(HELD_ROWS // size, 1) * size):
        batches = part.view(-1, size) if run == 1 else _mixed(part, size, rng)
        if hold is not None:
            hold(batches)
        yield from batches


def count_batches(n_rows: int, batch_size: int) -> int:
    """Number of batches of an epoch."""
    # Batch normalisation needs two rows.
    return max(1, min(math.ceil(n_rows / batch_size), n_rows // 2))


def _mixed(rows: torch.Tensor, size: int, rng: torch.Generator) -> torch.Tensor:
    """Batches × `size` of these rows; the rows of a lane are adjacent in a batch."""
    n_batches = len(rows) // size
    ends = [size * lane // LANES for lane in range(LANES + 1)]  # as processes share a batch
    lanes = rows.split([n_batches * (stop - start) for start, stop in pairwise(ends)])
    return torch.cat(
        [
            lane[torch.randperm(len(lane), generator=rng, device=rng.device)].view(n_batches, -1)
            for lane in lanes
        ],
        dim=1,
    )


def run_epochs(
    run_epoch: Callable[[], Record],
    max_epochs: int,
    *,
    trainer: Trainer,
    checkpoint: Checkpoint | None,
    description: str,
    progress_bar: bool,
    is_done: Callable[[list[Record]], bool] = lambda _: False,
) -> list[Record]:
    """Run epochs, show the losses and return the records; resume from a checkpoint.

    Training ends after `max_epochs`, or earlier if `is_done` says so of the records.

    Raises
    ------
    FloatingPointError
        If a loss is NaN or infinite.
    ValueError
        If the checkpoint is damaged or of another run.
    """
    keep_freed_memory()
    history = [] if checkpoint is None else checkpoint.resume(trainer)
    with tqdm(
        total=max_epochs,
        initial=len(history),
        desc=description,
        unit="epoch",
        disable=not progress_bar,
    ) as bar:
        while len(history) < max_epochs and not is_done(history):
            try:
                record = run_epoch()
            except KeyboardInterrupt:
                if checkpoint is not None:
                    checkpoint.log_where_to_resume()
                raise
            check_losses(record, f"in epoch {len(history) + 1}")
            history.append(record)
            if checkpoint is not None:
                is_last = len(history) == max_epochs or is_done(history)
                checkpoint.save(trainer, history, is_last=is_last)
            bar.set_postfix(
                {name.removeprefix(LOSS_PREFIX): f"{v:.3g}" for name, v in record.items()},
                refresh=False,
            )
            bar.update()
    return history


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks of up to 20 MiB; other allocators are not affected.

    glibc returns a block to the system unless it has seen a block of that size freed before.
    Gradients and activations would then cause page faults in each step, a tenth of its time.
    Larger blocks would cost more memory than the time is worth.
    """
    torch.empty(20 * 2**20, dtype=torch.uint8)


def check_losses(record: Record, when: str) -> None:
    """Raise FloatingPointError if a loss is NaN or infinite."""
    names = [n for n, v in record.items() if n.startswith("loss") and not math.isfinite(v)]
    if names:
        msg = (
            f"{', '.join(names)} became NaN or infinite {when}; nothing was written. "
            "Look for extreme values (log-normalise the data) and for very large loss weights."
        )
        raise FloatingPointError(msg)
