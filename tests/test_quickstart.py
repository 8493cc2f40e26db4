"""The README's first command, as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anndata as ad
import pytest

QUICKSTART = Path(__file__).parents[1] / "tutorials" / "quickstart.py"
PNG_MAGIC = b"\x89PNG"


@pytest.mark.filterwarnings("ignore")  # AnnData's own, on its file formats
def test_the_quickstart_leaves_figures_and_a_fit_that_convinces(tmp_path):
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
