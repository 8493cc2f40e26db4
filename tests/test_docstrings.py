"""Every public name's example runs, and gives what it says."""

from __future__ import annotations

import doctest
import io
import os
from typing import TYPE_CHECKING, Any

import pytest
import torch

import scgan_perturb as sp
from scgan_perturb._settings import DATASET_DIR_VARIABLE
from tests.test_package_structure import PUBLIC

if TYPE_CHECKING:
    from pathlib import Path

# Their examples begin with data of hundreds of MB, or with files of the user's own. Where only a
# line of an example needs a download, that line says so.
NEED_DATA = {
    "datasets.gtex", "datasets.rnaseqdb", "datasets.tcga", "datasets.tcga_kidney",  # downloads
    "datasets.read_gct", "datasets.read_tspg",  # files
}  # fmt: skip


def example_of(name: str) -> doctest.DocTest:
    """The example of a public name, without those of its methods."""
    [example] = doctest.DocTestFinder(recurse=False).find(PUBLIC[name], name, globs={})
    return example


@pytest.fixture(scope="session")
def fits() -> dict[tuple[str, ...], dict[str, Any]]:
    """What names stand for after some lines: what many examples begin with is computed once."""
    return {}


def copied(names: dict[str, Any]) -> dict[str, Any]:
    return names | {"adata": names["adata"].copy()}


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - NEED_DATA))
@pytest.mark.filterwarnings("ignore:Tensorflow not installed")  # umap, on import
@pytest.mark.filterwarnings("ignore:The inplace keyword")  # scanpy 1.12 with pandas 3.1
def test_the_example_runs_and_gives_what_it_says(name: str, fits: dict, tmp_path: Path):
    import matplotlib.pyplot as plt

    os.chdir(tmp_path)
    os.environ.pop(DATASET_DIR_VARIABLE, None)
    sp.settings.dataset_dir = tmp_path / "cache"
    runner, report = doctest.DocTestRunner(), io.StringIO()
    example = example_of(name)
    lines: tuple[str, ...] = ()
    for line in example.examples:
        if not line.source.startswith("import "):
            lines = (*lines, line.source)
        if lines in fits:
            example.globs |= copied(fits[lines])
            continue
        step = doctest.DocTest([line], example.globs, name, example.filename, example.lineno, None)
        failed = runner.run(step, out=report.write, clear_globs=False).failed
        assert not failed, report.getvalue()
        example.globs = step.globs
        if line.source.startswith("sp.tl.") and "adata" in step.globs:
            fits[lines] = copied(step.globs)
    plt.close("all")
    assert lines
    assert torch.get_num_threads() == 1  # as conftest.py sets it; numba would change it for all
    assert not (tmp_path / "cache").exists()  # nothing was downloaded


@pytest.mark.parametrize("name", sorted(NEED_DATA))
def test_an_example_that_needs_data_says_so_line_by_line(name: str):
    for line in example_of(name).examples:
        assert line.source.startswith("import ") or doctest.SKIP in line.options
