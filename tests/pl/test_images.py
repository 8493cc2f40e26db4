"""Figures as they were when somebody last looked at them, in `baseline/`.

After a change that is meant, look at the new image, which the message of the failing test names,
and copy it to `baseline/`.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.testing.compare import compare_images

import scgan_perturb as sp
from tests.pl.conftest import drawable

BASELINE = Path(__file__).parent / "baseline"
TOLERANCE = 3  # root mean square of the difference, of 255
PLOTS = {
    "heatmap": lambda a, **kw: sp.pl.perturbation_heatmap(a, a.obs_names[[7, -1]], **kw),
    "context_heatmap": sp.pl.context_heatmap,
    "tsne": sp.pl.tsne,
    "evaluation": sp.pl.evaluation,
    "enrichment": lambda a, **kw: sp.pl.enrichment(a, n_terms=5, **kw),
}
# Each version of matplotlib places text a little differently.
pytestmark = pytest.mark.skipif(
    not version("matplotlib").startswith("3.11."), reason="the images are of matplotlib 3.11"
)


@pytest.fixture(scope="module")
def tissues():
    names = ["lung", "liver", "kidney – cortex", "thyroid", "skin", "colon", "brain", "ovary"]
    bar, sp.settings.progress_bar = sp.settings.progress_bar, False
    yield drawable(len(names), names.__getitem__)
    sp.settings.progress_bar = bar


@pytest.mark.parametrize("width", [3.5, 7.2], ids=["one column", "two columns"])
@pytest.mark.parametrize("name", ["tsne"])
def test_a_legend_stands_below_in_one_column_and_beside_in_two(tissues, tmp_path, name, width):
    compare(tissues, f"{name}_{width}", PLOTS[name], (width, None), tmp_path)


@pytest.mark.parametrize("name", ["heatmap", "context_heatmap", "evaluation", "enrichment"])
def test_the_figure_looks_as_it_did(tissues, tmp_path, name):
    compare(tissues, name, PLOTS[name], (7.2 if name == "heatmap" else 3.5, None), tmp_path)


def compare(adata, name, plot, figsize, folder) -> None:
    new = folder / f"{name}.png"
    with mpl.style.context("default"):
        plot(adata, figsize=figsize, return_fig=True).savefig(new, dpi=72)
    difference = compare_images(BASELINE / new.name, new, TOLERANCE)
    assert difference is None, difference
