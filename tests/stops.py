"""Training that is counted or stopped, by torch's hooks on optimisers; and a disk that is full."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


class Stopped(Exception):
    """What stops a fit."""


@contextmanager
def counted_steps() -> Iterator[list[object]]:
    """The optimisers that take a step from now on, one entry for each step."""
    steps: list[object] = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: steps.append(optimizer))
    try:
        yield steps
    finally:
        hook.remove()


@contextmanager
def stopped_after(n_steps: int, error: type[BaseException] = Stopped) -> Iterator[None]:
    """Raise an error in place of the step after so many; it has to be raised."""
    left = iter(range(n_steps))

    def stop(*_: object) -> None:
        if next(left, None) is None:
            raise error

    hook = register_optimizer_step_pre_hook(stop)
    try:
        with pytest.raises(error):
            yield
    finally:
        hook.remove()


@contextmanager
def full_disk(*, after: int) -> Iterator[None]:
    """Writes fail beyond so many bytes of a file, as they do on a full disk."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def applied_rows(interrupt_at: int | None = None) -> Iterator[list[int]]:
    """How many samples a network is applied to, call by call; one of the calls is interrupted."""
    rows: list[int] = []
    outermost: list[type] = []

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        outermost.append(type(module))
        if type(module) is not outermost[0]:  # a part of it
            return
        if len(rows) + 1 == interrupt_at:
            raise KeyboardInterrupt
        rows.append(len(inputs[0]))

    hook = register_module_forward_pre_hook(note)
    try:
        yield rows
    finally:
        hook.remove()
