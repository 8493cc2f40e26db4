"""A few of the cases of tests/slow: damaged and hostile files end in errors of ours."""

from __future__ import annotations

import pytest

from tests.slow.cases import FINE, KINDS, STORED, damaged, run_case

N_CASES = {"model": 60, "GMT": 40, "GCT": 60, "GCT, gzip": 20, "h5ad": 15, "zarr": 1}
SEED = 7


@pytest.mark.filterwarnings("ignore")  # of anndata and zarr, about what is damaged
@pytest.mark.parametrize("form", N_CASES)
def test_damaged_files_end_in_an_error_that_names_them(good, form, tmp_path):
    # Files that anndata reads: what counts is what is in them.
    kinds = ("hostile",) if form in STORED else KINDS
    faults = {}
    for seed in range(SEED, SEED + N_CASES[form]):
        kind = kinds[seed % len(kinds)]
        outcome = run_case(form, kind, seed, good, tmp_path)
        if outcome not in FINE:
            faults[kind, seed] = outcome
    assert not faults


@pytest.mark.parametrize("form", N_CASES)
def test_good_files_are_read(good, form, tmp_path):
    path, use = damaged(form, "none", None, good, tmp_path / "a", tmp_path / "mark")
    use(path, good)
