"""Functions in processes of their own, in which nothing was done but to import the package."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess

# Each is a fork of one that has imported these: what takes seconds is done once.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.new_process", "tests.conftest", "scgan_perturb.tl"])
ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)


def start(function: Callable[..., object], *args: object) -> BaseProcess:
    """A process that calls a function of a test module, without warnings and progress bars."""
    process = FORKS.Process(target=_quietly, args=(function, *args), daemon=True)
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    """Wait for its end, which must be a good one."""
    process.join()
    assert process.exitcode == os.EX_OK


def _quietly(function: Callable[..., object], *args: object) -> None:
    import scgan_perturb as sp

    warnings.simplefilter("ignore")
    sp.settings.progress_bar = False
    function(*args)
