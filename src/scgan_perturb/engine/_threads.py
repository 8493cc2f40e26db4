"""Fewer threads for small work.

The threads of an operation wait for each other at its end. If other programs keep the processor
busy, one of them is always late, and thousands of short operations take many times as long.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

# Some 15 ms of one core. On two cores beside two busy processes (and others) steps of the classifier of
# half as much work took four times as long on two threads as on one.
FLOPS_PER_THREAD = 1e9


@contextmanager
def threads_for(flops: float) -> Iterator[None]:
    """Compute on as many threads as work of this size keeps busy, at most those of the user.

    The number of threads is restored at the end. A thread that is not the main one keeps its
    number: several of them would restore each other's.

    Parameters
    ----------
    flops
        Floating-point operations of one step.
    """
    before = torch.get_num_threads()
    n_threads = min(before, max(1, int(flops / FLOPS_PER_THREAD)))
    if n_threads == before or threading.current_thread() is not threading.main_thread():
        yield
        return
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
