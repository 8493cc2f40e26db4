"""What the two training loops share: shuffled batches, progress, history, a stop at NaN."""

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
HELD_ROWS = 2**14  # in memory at a time, of a matrix on disk
RUN_ROWS = 128  # long enough to be read at once, short enough to mix sorted classes
LANES = 8  # so many processes read nothing that another one reads


def shuffled_batches(
    n_rows: int,
    batch_size: int,
    rng: torch.Generator,
    hold: Callable[[torch.Tensor], None] | None = None,
) -> Iterator[torch.Tensor]:
    """Random batches of one size, the largest that is at most `batch_size` and leaves few rows.

    A short last batch would upset batch normalisation and the compiled shape; fewer rows than
    there are batches are left out of an epoch, others in the next.

    More than `HELD_ROWS` rows are shuffled in two steps, wherever they are: runs of `RUN_ROWS` rows
    are put in random order, and the rows of as many runs as may be held are mixed. From a disk they
    can then be read in long parts, and the batches are the same. The runs are dealt out to
    `LANES`, each mixed by itself, and a batch has as many rows of each: a process that computes on
    a share of every batch has only some of the runs to read.

    Parameters
    ----------
    n_rows
        Number of rows.
    batch_size
        Rows of a batch, at most.
    rng
        Generator of the order.
    hold
        Called with the next batches, batches × rows, before these.
    """
    # Batch normalisation needs two rows.
    n_batches = max(1, min(math.ceil(n_rows / batch_size), n_rows // 2))
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


def _mixed(rows: torch.Tensor, size: int, rng: torch.Generator) -> torch.Tensor:
    """Batches × `size` of these rows, those of a lane in places next to each other."""
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
) -> list[Record]:
    """Run epochs and collect their records, showing the losses.

    With a checkpoint, go on where it left the trainer.

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
        while len(history) < max_epochs:
            try:
                record = run_epoch()
            except KeyboardInterrupt:
                if checkpoint is not None:
                    checkpoint.say_where()
                raise
            check_losses(record, f"in epoch {len(history) + 1}")
            history.append(record)
            if checkpoint is not None:
                checkpoint.save(trainer, history, is_last=len(history) == max_epochs)
            bar.set_postfix(
                {name.removeprefix(LOSS_PREFIX): f"{v:.3g}" for name, v in record.items()},
                refresh=False,
            )
            bar.update()
    return history


def keep_freed_memory() -> None:
    """Let glibc keep blocks up to 20 MiB that are freed; elsewhere it changes nothing.

    It gives them back to the system until it has seen one of that size freed: gradients and
    activations, made anew in each step, would then be faulted in page by page, a tenth of a step.
    Of larger blocks a few would hold more memory than the time is worth.
    """
    torch.empty(20 * 2**20, dtype=torch.uint8)


def check_losses(record: Record, when: str) -> None:
    """Raise FloatingPointError if a loss is NaN or infinite."""
    broken = [n for n, v in record.items() if n.startswith("loss") and not math.isfinite(v)]
    if broken:
        msg = (
            f"{', '.join(broken)} became NaN or infinite {when}; nothing was written. "
            "Look for extreme values (log-normalise the data) and for very large loss weights."
        )
        raise FloatingPointError(msg)
