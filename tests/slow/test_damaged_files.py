"""Damaged and hostile files, by the thousand: each ends in an error of ours that names it.

Not in an error of another kind, a crash, a minute without an answer, more than 1.5 GB of memory, or
code that is run. Each file is used in a process that may die. `--cases` says how many there are.
"""

from __future__ import annotations

import multiprocessing
import resource
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.slow.cases import FINE, KINDS, READ, run_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.slow.cases import Good

    Case = tuple[str, str, int]

SECONDS, SPARE_BYTES = 60, 3 << 29
# In percent of all cases; zarr stores, of hundreds of files each, take longest.
SHARES = {"model": 34, "GMT": 18, "GCT": 23, "GCT, gzip": 13, "h5ad": 10, "zarr": 2}


def work(cases: list[Case], good: Good, folder: Path, answers: Any) -> None:
    """Run cases and send what came of each, with little memory to spare."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    limit = pages * resource.getpagesize() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")
    for case in cases:
        answers.send(run_case(*case, good, folder))


def outcomes(cases: list[Case], good: Good, folder: Path) -> Iterator[str]:
    """What came of each case; a process that dies or hangs is ended, and a new one goes on."""
    context = multiprocessing.get_context("fork")
    done = 0
    while done < len(cases):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(cases[done:], good, folder, theirs))
        process.start()
        theirs.close()
        lives = True
        while lives and done < len(cases):
            try:
                outcome = ours.recv() if ours.poll(SECONDS) else "hang"
                lives = outcome != "hang"
            except EOFError:
                process.join()
                outcome, lives = f"crash ({process.exitcode})", False
            done += 1
            yield outcome
        process.kill()
        process.join()


@pytest.mark.filterwarnings("ignore")  # of anndata and zarr, about what is damaged; of forks
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", SHARES)
def test_a_damaged_file_ends_in_an_error_that_names_it(form, kind, good, tmp_path, request):
    n_cases = max(request.config.getoption("cases") * SHARES[form] // (100 * len(KINDS)), 1)
    seeds = np.random.default_rng(request.config.getoption("fuzz_seed")).integers(
        2**62, size=n_cases
    )
    cases = [(form, kind, int(seed)) for seed in seeds]
    found = list(outcomes(cases, good, tmp_path))
    faults = {
        case: outcome for case, outcome in zip(cases, found, strict=True) if outcome not in FINE
    }
    assert not faults
    assert n_cases < 20 or set(found) != {READ}  # some of each kind are noticed
