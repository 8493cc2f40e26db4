"""A few of the cases of benchmarks/fuzz.py: damaged and hostile files end in errors of ours."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import scgan_perturb as sp

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
N_CASES = {"model": 60, "GMT": 40, "GCT": 60, "GCT, gzip": 20, "h5ad": 15, "zarr": 1}
SEED = 7


@pytest.fixture(scope="module")
def fuzz():
    """The benchmark, with networks of few units while these tests run."""
    spec = importlib.util.spec_from_file_location("fuzz", FUZZ)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "fuzz", module)
        spec.loader.exec_module(module)
        for part, name in (
            (module._networks, "CLASSIFIER_UNITS"),
            (module._networks, "BOTTLENECK_UNITS"),
            (module._transport_generator, "BOTTLENECK_UNITS"),
            (module._device, "open_fabric"),
            (sp.settings, "progress_bar"),
        ):
            patch.setattr(part, name, getattr(part, name))  # as it is, to be put back
        sp.settings.progress_bar = False
        module.small_networks()
        yield module


@pytest.fixture(scope="module")
def good(fuzz, tmp_path_factory):
    return fuzz.make_good(tmp_path_factory.mktemp("good"))


@pytest.mark.filterwarnings("ignore")  # of anndata and zarr, about what is damaged
@pytest.mark.parametrize("form", N_CASES)
def test_damaged_files_end_in_an_error_that_names_them(fuzz, good, form, tmp_path):
    kinds = fuzz.KINDS
    if form in {"h5ad", "zarr"}:  # which anndata reads: what counts is what is in them
        kinds = ("hostile",)
    faults = {}
    for seed in range(SEED, SEED + N_CASES[form]):
        kind = kinds[seed % len(kinds)]
        outcome = fuzz.run_case(form, kind, seed, good, tmp_path)
        if outcome not in fuzz.FINE:
            faults[kind, seed] = outcome
    assert not faults


@pytest.mark.parametrize("form", N_CASES)
def test_good_files_are_read(fuzz, good, form, tmp_path):
    path, use = fuzz.damage(form, "none", None, good, tmp_path / "a", tmp_path / "mark")
    use(path, good)
