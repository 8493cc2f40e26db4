"""Tutorials are stored with the outputs of one run, and their cells run; so does the quickstart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import anndata as ad
import nbformat
import pytest

import scgan_perturb as sp
from scgan_perturb._messages import logger
from scgan_perturb.metrics import _two_sample
from scgan_perturb.tl import _tspg
from scgan_perturb.training import _fit_classifier

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "tutorials" / "quickstart.py"
PNG_MAGIC = b"\x89PNG"
NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))
# Downloads or files, and minutes; `make tutorials`.
TAKE_LONG = {"tissues", "kidney_tumour", "large_data", "interferon"}


def stem(path: Path) -> str:
    return path.stem


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stem)
def test_stored_outputs_are_of_one_run_from_top_to_bottom_without_errors(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem not in TAKE_LONG], ids=stem)
def test_its_cells_run_from_top_to_bottom(path, tmp_path, monkeypatch):
    """With short fits: what they find is in the stored outputs."""
    import matplotlib.pyplot as plt

    os.chdir(tmp_path)
    os.environ.pop("DISPLAY", None)  # without a screen, plt.show does nothing
    for module, name, value in (
        (sp.tl, "fit_classifier", partial(sp.tl.fit_classifier, max_epochs=2)),
        (sp.tl, "evaluate", partial(sp.tl.evaluate, n_bootstrap=5)),
        (_tspg, "CLASSIFIER_EPOCHS", 2),  # of a classifier that is fitted on the way
        (_fit_classifier, "CLASSIFIER_EPOCHS", 2),
        (_two_sample, "N_TREES", 5),
        (_two_sample, "N_TREES_PER_FOLD", 5),
    ):
        monkeypatch.setattr(module, name, value)
    names: dict[str, object] = {}
    level = logger.level
    try:
        for cell in code_cells(path):
            exec(compile(cell.source, f"{path.name}, cell {cell.execution_count}", "exec"), names)
    finally:
        logger.setLevel(level)
        plt.close("all")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=stem)
def test_each_is_shown_by_the_site_and_its_links_lead_somewhere(path):
    index = (ROOT / "docs" / "tutorials.md").read_text("utf-8")
    assert f"(tutorials/{path.name})" in index
    assert f"\ntutorials/{path.stem}\n" in index
    first_page = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert f":img-top: tutorials/{path.stem}.png\n" in first_page
    assert f":link: tutorials/{path.stem}\n" in first_page
    links = re.findall(r"\]\(([\w./]+\.(?:md|ipynb))", path.read_text("utf-8"))
    assert [link for link in links if not (path.parent / link).is_file()] == []


@pytest.mark.filterwarnings("ignore")  # AnnData's own, on its file formats
def test_the_quickstart_leaves_figures_and_a_fit_that_convinces(tmp_path):
    """The README's first command, as a newcomer runs it."""
    environment = {**os.environ, "SCGAN_PERTURB_DATASET_DIR": str(tmp_path / "nothing")}
    run = subprocess.run(
        [sys.executable, QUICKSTART, tmp_path],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    for name in ("heatmap.png", "tsne.png"):
        assert str(tmp_path / name) in run.stdout
        assert (tmp_path / name).read_bytes().startswith(PNG_MAGIC)
    assert "adata.layers['xadv']" in run.stderr  # logged, although no logging was set up
    fitted = ad.read_h5ad(tmp_path / "fitted.h5ad")
    others = (fitted.obs["tspg_split"] == "test") & (fitted.obs["bulk_labels"] != "CD19+ B")
    assert (fitted.obs["tspg_predicted"][others] == "CD19+ B").mean() >= 0.99
    assert not (tmp_path / "nothing").exists()
