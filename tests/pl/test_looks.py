"""What makes a figure fit to print, and can be checked without looking at it."""

from __future__ import annotations

import html
import inspect
import io
import itertools
from functools import cache

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

import scgan_perturb as sp
from scgan_perturb.pl import _embedding

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.2  # inches, of a journal
PLOTS = {
    "heatmap": lambda a, **kw: sp.pl.perturbation_heatmap(a, a.obs_names[-2:], **kw),
    "context_heatmap": sp.pl.context_heatmap,
    "tsne": sp.pl.tsne,
    "umap": sp.pl.umap,
    "pca": sp.pl.pca,
    "history": sp.pl.history,
    "evaluation": sp.pl.evaluation,
    "rank_genes": lambda a, **kw: sp.pl.rank_genes(a, a.obs["cell type"].cat.categories[-1], **kw),
    "enrichment": lambda a, **kw: sp.pl.enrichment(a, n_terms=6, **kw),
}
# Classes and width. How many classes there are matters to the legend of embeddings only.
SIZES = [
    *itertools.product(["tsne"], (2, 16, 60), (ONE_COLUMN, TWO_COLUMNS)),
    *itertools.product(PLOTS.keys() - {"tsne"}, [16], [ONE_COLUMN]),
    *itertools.product(PLOTS.keys() - {"tsne"}, [2], [TWO_COLUMNS]),
]
every_plot = pytest.mark.parametrize("name", PLOTS)
# How red and green look without the red or the green receptor: Machado et al. 2009, table 1.
SIGHTS = {
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}


def texts(figure) -> list[Text]:
    """All texts that are drawn; ticks beyond the ends of their axis are not."""
    unseen = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    unseen |= {tick.label1, tick.label2}
    found = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible() and a not in unseen)
    return [text for text in found if text.get_text().strip()]


def overlaps(figure) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other by more than a pixel's rounding."""
    # Of an annotation the text alone, without its line.
    boxes = [(t.get_text(), Text.get_window_extent(t).padded(-1)) for t in texts(figure)]
    pairs = itertools.combinations(boxes, 2)
    return [(a, b) for (a, box), (b, other) in pairs if box.overlaps(other)]


def reach(figure) -> tuple[float, float]:
    """Inches by which what is drawn goes beyond the edges of the figure, across and upright."""
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return max(-box.x0, box.x1 - width), max(-box.y0, box.y1 - height)


@pytest.fixture(scope="module")
def figure_as_it_comes(drawn_from):
    """A figure without options, made once."""
    return cache(lambda name: PLOTS[name](drawn_from(2), return_fig=True))


@pytest.mark.parametrize(("name", "n_classes", "width"), sorted(SIZES))
def test_nothing_overlaps_or_is_cut_off(drawn_from, name, n_classes, width):
    figure = PLOTS[name](drawn_from(n_classes), figsize=(width, None), return_fig=True)
    figure.draw_without_rendering()
    assert figure.get_figwidth() == width
    assert overlaps(figure) == []
    assert max(reach(figure)) < 0.01


@every_plot
def test_nothing_overlaps_or_is_cut_off_as_figures_come(figure_as_it_comes, name):
    figure = figure_as_it_comes(name)
    figure.draw_without_rendering()
    assert overlaps(figure) == []
    assert max(reach(figure)) < 0.01


@pytest.mark.parametrize("name", ["heatmap", "context_heatmap", "tsne", "evaluation", "rank_genes"])
def test_a_low_figure_is_as_low_as_asked_for_and_nothing_overlaps(drawn_from, name):
    figure = PLOTS[name](drawn_from(2), figsize=(TWO_COLUMNS, 3), return_fig=True)
    figure.draw_without_rendering()
    assert tuple(figure.get_size_inches()) == (TWO_COLUMNS, 3)
    assert overlaps(figure) == []
    assert max(reach(figure)) < 0.01


@pytest.mark.parametrize("name", ["context_heatmap", "tsne", "evaluation", "enrichment"])
def test_two_figures_in_one_keep_apart(drawn_from, name):
    figure, axes = plt.subplots(1, 2, figsize=(2 * TWO_COLUMNS, 4), layout="constrained")
    for ax in axes:
        PLOTS[name](drawn_from(2), ax=ax, show=False)
    figure.draw_without_rendering()
    assert overlaps(figure) == []
    assert max(reach(figure)) < 0.01


@every_plot
def test_text_stays_text(figure_as_it_comes, name):
    figure = figure_as_it_comes(name)
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file := io.StringIO(), format="svg")
    svg = html.unescape(file.getvalue())
    drawn = [text.get_text().replace(r"\$", "\0") for text in texts(figure)]
    plain = [text.replace("\0", "$") for text in drawn if "$" not in text]  # and no formulas
    assert plain
    assert [line for text in plain for line in text.split("\n") if line not in svg] == []


@pytest.mark.parametrize("size", [3.5, (3.5,), (0, 2), (3.5, -1), "small"])
@every_plot
def test_a_size_that_is_none_is_named(drawn_from, name, size):
    with pytest.raises(ValueError, match=r"figsize must be .* not "):
        PLOTS[name](drawn_from(2), figsize=size)


FIGURES = [getattr(sp.pl, name) for name in sp.pl.__all__ if name != "report"]  # a page


@pytest.mark.parametrize("function", FIGURES)
def test_every_figure_has_a_size(function):
    assert inspect.signature(function).parameters["figsize"].default is None


@pytest.mark.parametrize("embedding", [sp.pl.tsne, sp.pl.umap, sp.pl.pca])
def test_many_points_are_drawn_as_an_image_and_few_as_vectors(drawn_from, embedding):
    """More than 10,000."""
    few = drawn_from(2)
    many = ad.concat([few] * 900, index_unique="-", uns_merge="first")

    def rasterized(adata) -> set[bool]:
        ax = embedding(adata, show=False)
        return {bool(points.get_rasterized()) for points in ax.collections}

    assert rasterized(few) == {False}
    assert rasterized(many) == {True}


def seen(color: str, sight: str) -> np.ndarray:
    """The colour in CIE L*a*b*, as it looks with that sight."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (np.array(SIGHTS[sight]) @ linear).clip(0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ linear / [0.9505, 1, 1.0888]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("n_classes", "least"), [(7, 15), (16, 12), (60, 5)])
def test_classes_differ_in_colour_to_all_kinds_of_sight_or_in_shape(n_classes, least, sight):
    import anndata as ad
    import pandas as pd

    labels = pd.Series(pd.Categorical([f"{i:02d}" for i in range(n_classes)]))
    adata = ad.AnnData(np.zeros((n_classes, 1)), obs={"type": labels.to_numpy()})
    looks = _embedding.class_looks(adata, "type", labels).values()
    for a, b in itertools.combinations(looks, 2):
        if a.get("marker") == b.get("marker"):
            assert np.linalg.norm(seen(a["color"], sight) - seen(b["color"], sight)) > least
