"""Whatever matplotlib draws has a layout, in any script and style."""

from __future__ import annotations

import warnings
from itertools import cycle

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb, to_rgba

import scgan_perturb as sp
from scgan_perturb.pl import _embedding, _layout
from tests.pl.conftest import drawable
from tests.pl.test_looks import PLOTS, overlaps, reach

NAMES = {
    "Chinese": "肝脏癌旁组织样本",
    "a long Chinese name without spaces": "肝脏" * 30,
    "emoji": "B cell \U0001f9ec",
    "tab": "B\tcell",
    "line ends of Windows": "B\r\ncell",
    "other control characters": "B\x00\x1b\x85cell",
    "empty": "",
    "mere spaces": " " * 90,
    "a formula": r"$\alpha",
    "right to left": "سلام",
    "combining": "e\u0301\u200d",
}
no_glyph = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")


@pytest.fixture(scope="module")
def odd():
    """Everything has an odd name: labels, samples, genes and gene sets."""
    bar, sp.settings.progress_bar = sp.settings.progress_bar, False
    adata = drawable(len(NAMES), list(NAMES.values()).__getitem__)
    sp.settings.progress_bar = bar
    # Genes and samples have no room for long names.
    names = [f"{name[:9]}{i}" for i, name in enumerate([*NAMES.values(), *map(str, range(7))])]
    adata.var_names = adata.uns["tspg"]["genes"] = names
    adata.obs_names = [f"{names[i % 11]} {i}" for i in range(adata.n_obs)]
    del adata.uns["tspg"]["identity"]  # knows the samples by their earlier names
    ranked = adata.uns["tspg_rank_genes"]["names"]
    for group in ranked.dtype.names:
        ranked[group] = names[::-1]
    sets = adata.uns["tspg_enrichment"]["table"]
    sets["term"] = [f"{name}_{i}" for i, name in zip(range(len(sets)), cycle(names), strict=False)]
    return adata


@no_glyph
@pytest.mark.parametrize("width", [3.5, 7.2])
@pytest.mark.parametrize("name", PLOTS)
def test_odd_names_are_drawn_without_overlap(odd, name, width):
    figure = PLOTS[name](odd, figsize=(width, None), return_fig=True)
    figure.draw_without_rendering()
    assert overlaps(figure) == []
    assert max(reach(figure)) < 0.01


@no_glyph
@pytest.mark.parametrize("label", list(NAMES.values())[1:], ids=list(NAMES)[1:])  # first: target
def test_each_odd_label_is_drawn(odd, label):
    for plot in (sp.pl.rank_genes, lambda a, source: sp.pl.evaluation(a, source=source)):
        drawn = odd.copy()
        drawn.uns["tspg"]["evaluation"]["source"] = label
        plot(drawn, label)


@pytest.mark.parametrize("name", PLOTS)
def test_a_missing_glyph_is_warned_of_by_the_drawing_alone(odd, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PLOTS[name](odd, return_fig=True)


FONTS = [
    ["DejaVu Sans"],
    ["DejaVu Serif"],
    ["cmr10", "DejaVu Sans"],
    ["STIXGeneral", "DejaVu Sans"],
]


@no_glyph
@pytest.mark.parametrize("family", FONTS, ids=" and ".join)
@pytest.mark.parametrize("text", ["CD8α⁺ naïve-like T cell", "肝脏", "WWW", "ß é ↑", "سلام"])
def test_text_is_measured_at_least_as_wide_as_it_is_drawn(text, family):
    with mpl.rc_context({"font.family": family}):
        drawn = plt.figure().text(0, 0, text, fontsize=20).get_window_extent().width / 100
        measured = _layout.text_inches(text, 20)
    assert 0.99 * drawn <= measured <= 1.15 * drawn


def luminance(color) -> float:
    rgb = np.array(to_rgb(color))
    return float(
        np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        @ (0.2126, 0.7152, 0.0722)
    )


def contrast(a, b) -> float:
    """The ratio of WCAG 2: marks need 3 or more."""
    low, high = sorted(map(luminance, (a, b)))
    return (high + 0.05) / (low + 0.05)


def mark_colors(ax):
    """What marks are seen by: the colour inside or at the edge, whichever differs more from behind."""
    for points in ax.collections:
        for inside, edge in zip(points.get_facecolor(), points.get_edgecolor(), strict=False):
            yield max((inside, edge), key=lambda color: contrast(color, ax.get_facecolor()))
        if not len(points.get_facecolor()):
            yield from points.get_edgecolor()


@pytest.mark.parametrize("given", [False, True], ids=["new figure", "axes of the user"])
@pytest.mark.parametrize("style", ["default", "dark_background", "Solarize_Light2"])
@pytest.mark.parametrize(
    ("draw", "which"),
    [
        (sp.pl.tsne, -1),
        (lambda a, **kw: sp.pl.evaluation(a, metric="e_distance", **kw), slice(None)),
    ],
    ids=["perturbed samples", "methods"],
)
def test_marks_are_seen_in_any_style(drawn_from, draw, which, style, given):
    with mpl.style.context(style):
        ax = plt.figure().add_subplot() if given else None
        drawn = None if given else draw(drawn_from(2), show=False)
    # The axes keep their style; the settings are back at the default.
    drawn = draw(drawn_from(2), ax=ax, show=False) if given else drawn
    colors = list(mark_colors(drawn))
    assert len(colors) > 1
    colors = [colors[-1]] if which == -1 else colors
    assert min(contrast(color, drawn.get_facecolor()) for color in colors) > 3


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_hollow_marks_are_filled_with_what_is_behind_them(drawn_from, style):
    with mpl.style.context(style):
        ax = sp.pl.evaluation(drawn_from(2), metric="e_distance", show=False)
    faces = [tuple(face) for points in ax.collections for face in points.get_facecolor()]
    assert tuple(ax.get_facecolor()) in faces


COLORS = {
    "names": (["red", "blue"], ["red", "blue"]),
    "tuples": ([(1, 0, 0), (0, 0, 1.0)], ["red", "blue"]),
    "an array": (np.array([[1.0, 0, 0], [0, 0, 1]]), ["red", "blue"]),
    "with transparency": ([(1, 0, 0, 0.5), (0, 0, 1, 0.5)], [(1, 0, 0, 0.5), (0, 0, 1, 0.5)]),
    "more than classes": (np.array(["red", "blue", "green"]), ["red", "blue"]),
    "too few": (["red"], None),
    "none at all": (None, None),
    "a single text": ("red", None),
}
BAD_COLORS = {
    "an unknown name": ["red", "blau"],
    "a missing one": ["red", float("nan")],
    "None": ["red", None],
    "beyond 1": [(1, 0, 0), (0, 0, 255)],
}


def looks(colors, *, is_category=True) -> list:
    values = ["x", "y"] * 3
    labels = pd.Series(pd.Categorical(values))
    adata = ad.AnnData(np.zeros((6, 1)), obs=pd.DataFrame({"c": values}, index=list("abcdef")))
    if is_category:
        adata.obs["c"] = labels.to_numpy()
    if colors is not None:
        adata.uns["c_colors"] = colors
    return [to_rgba(look["color"]) for look in _embedding.class_looks(adata, "c", labels).values()]


DEFAULT = [to_rgba(color) for color in _embedding.OKABE_ITO[:2]]


@pytest.mark.parametrize(("colors", "expected"), COLORS.values(), ids=COLORS)
@pytest.mark.parametrize("is_category", [True, False], ids=["category", "text"])
def test_colours_of_the_user_are_taken_as_scanpy_takes_them(colors, expected, is_category):
    expected = DEFAULT if expected is None else [to_rgba(color) for color in expected]
    np.testing.assert_allclose(looks(colors, is_category=is_category), expected, atol=1 / 255)


@pytest.mark.parametrize("colors", BAD_COLORS.values(), ids=BAD_COLORS)
def test_a_colour_that_is_none_gives_the_default_with_a_warning(colors):
    with pytest.warns(UserWarning, match=r"uns\['c_colors'\] holds .* not a colour"):
        assert looks(colors) == DEFAULT
