"""Training that is counted or stopped, by way of torch's hooks on the steps of optimisers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from torch.optim.optimizer import register_optimizer_step_pre_hook

if TYPE_CHECKING:
    from collections.abc import Iterator


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
