"""Draw originals and perturbed samples in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import is_color_like, to_hex

from .._keys import TSPG
from .._messages import warn
from ..data._labels import label_text
from ..get import embedding as get_embedding
from ..get import model as get_model
from ._colors import ink
from ._layout import axes_or_new, size_inches
from ._legend import plan_legend
from ._show import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 6.2
HEIGHT_TO_WIDTH = 0.9  # of the figure, up to TALLEST_INCHES
TALLEST_INCHES = 4.2
ROOM_INCHES = 2.5  # of the axes, where the legend is beside them
DOT_AREA, LEGEND_AREA = 12, 18  # points²
SCANPY_AREA = 120_000  # divided by the number of points, as scanpy does for many
CROSS_TO_DOT = 1.7
MOST_VECTORS = 10_000  # more points are drawn as an image: vectors would take megabytes
# Okabe and Ito's colours, which colour-blind readers can tell apart. Perturbed samples have the text's.
OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")
SHAPES = "os^DvP<*>"
EDGE = {"edgecolors": "0.35", "linewidths": 0.25}
TITLES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PC"}


DOC = """Draw the {title} of originals, coloured by class, and perturbed samples, crosses.

Colours are those of `adata.uns[f"{{groupby}}_colors"]`. If these are missing, too few or not valid,
they are Okabe and Ito's for up to seven classes, and scanpy's for more. With more than seven classes the dots also differ in
shape, because colour-blind readers cannot tell so many colours apart.

Parameters
----------
adata
    AnnData with the result of `sp.tl.embed(adata, method="{method}")`.
key
    Name of the fit.
figsize
    Width and height in inches, such as `(3.5, 4)`. With `(3.5, None)` the height follows the
    content; with None the width is the plot's default too. Ignored with `ax`.
ax
    Axes to draw on.
show
    Show the figure; None for scanpy's `settings.autoshow`.
return_fig
    Return the figure.

Returns
-------
The figure if `return_fig`, else None if shown, else the axes.

Raises
------
KeyError
    If there is no such fit or embedding.
ValueError
    If `figsize` is not a size, or the embedding is of another target than the layer.

Examples
--------
>>> import scgan_perturb as sp
>>> adata = sp.datasets.pbmc68k()
>>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
>>> sp.tl.embed(adata, method="{method}")
>>> ax = sp.pl.{method}(adata, show=False)
>>> sp.get.embedding(adata, "{method}")["state"].value_counts().to_dict()
{{'original': 600, 'perturbed': 100}}
"""


def _plot_of(method: str, title: str) -> Callable[..., Axes | Figure | SubFigure | None]:
    """The plot of one method."""

    def plot(
        adata: AnnData,
        *,
        key: str = TSPG,
        figsize: tuple[float, float | None] | None = None,
        ax: Axes | None = None,
        show: bool | None = None,
        return_fig: bool = False,
    ) -> Axes | Figure | SubFigure | None:
        return _draw(
            adata, method, key=key, figsize=figsize, ax=ax, show=show, return_fig=return_fig
        )

    plot.__name__ = plot.__qualname__ = method
    plot.__doc__ = DOC.format(method=method, title=title)
    return plot


tsne = _plot_of("tsne", "t-SNE")
umap = _plot_of("umap", "UMAP")
pca = _plot_of("pca", "first two principal components")


def _draw(
    adata: AnnData,
    method: str,
    *,
    key: str,
    figsize: tuple[float, float | None] | None,
    ax: Axes | None,
    show: bool | None,
    return_fig: bool,
) -> Axes | Figure | SubFigure | None:
    table = get_embedding(adata, method, key=key)
    params = get_model(adata, key=key).params
    looks = class_looks(adata, params["groupby"], table["label"])
    originals = table[table["state"] == "original"]
    shown = [label for label in looks if (originals["label"] == label).any()]
    after = f"perturbed to {params['target']}"
    width, height = size_inches(figsize, WIDTH_INCHES)
    legend = plan_legend(
        [*shown, after],
        axes=ax,
        width=width,
        height=height or TALLEST_INCHES,
        room=ROOM_INCHES,
        grows=height is None,
    )
    plot = min(width * HEIGHT_TO_WIDTH, TALLEST_INCHES)
    ax = axes_or_new(ax, width, height or plot + legend.inches_below)
    area = min(DOT_AREA, SCANPY_AREA / len(table))
    rasterized = len(table) > MOST_VECTORS
    handles = {}
    for label in shown:
        points = originals[originals["label"] == label]
        handles[label] = ax.scatter(
            points["x"], points["y"], s=area, rasterized=rasterized, **looks[label]
        )
    perturbed = table[table["state"] == "perturbed"]
    handles[after] = ax.scatter(
        perturbed["x"],
        perturbed["y"],
        s=area * CROSS_TO_DOT,
        color=ink(ax),
        marker="x",
        linewidths=0.8,
        rasterized=rasterized,
    )
    axis = TITLES[method]
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(f"{axis} 1", fontsize=8)
    ax.set_ylabel(f"{axis} 2", fontsize=8)
    legend.draw(ax, handles, markerscale=(LEGEND_AREA / area) ** 0.5)
    return finish(ax.figure, ax, show=show, return_fig=return_fig)


def class_looks(adata: AnnData, groupby: str, labels: pd.Series) -> dict[str, dict[str, Any]]:
    """Colour of each class, the user's or a default, and the shape of its dots.

    Nobody can tell apart the colours of more than seven classes, so neighbours also differ in shape.
    """
    classes = [str(name) for name in labels.cat.categories]
    colors = _user_colors(adata, groupby) or dict(
        zip(classes, _palette(len(classes)), strict=False)
    )
    looks = {name: {"color": colors.get(name, "grey"), "linewidths": 0} for name in classes}
    if len(classes) > len(OKABE_ITO):  # some colours are pale: an edge makes the dot visible
        for i, look in enumerate(looks.values()):
            look |= {"marker": SHAPES[i % len(SHAPES)], **EDGE}
    return looks


def _user_colors(adata: AnnData, groupby: str) -> dict[str, str]:
    """The user's colours in `uns`, by category; empty if there are too few or a bad one, as in scanpy."""
    key = f"{groupby}_colors"
    stored = adata.uns.get(key, ())
    colors = [] if isinstance(stored, str) or np.ndim(stored) == 0 else list(stored)
    categories = pd.Categorical(adata.obs[groupby]).categories
    if len(colors) < len(categories):
        return {}
    if bad := [color for color in colors if not is_color_like(color)]:
        warn(
            f"adata.uns[{key!r}] holds {bad[0]!r}, which is not a colour of matplotlib. Default "
            "colours are used instead."
        )
        return {}
    hexes = [to_hex(color, keep_alpha=True) for color in colors]
    return {label_text(name): color for name, color in zip(categories, hexes, strict=False)}


def _palette(n_classes: int) -> Sequence[str]:
    """The first palette with enough colours; else the longest."""
    import scanpy as sc  # noqa: PLC0415 (takes a second)

    palettes = (OKABE_ITO, sc.pl.palettes.default_20, sc.pl.palettes.default_102)
    return next((p for p in palettes if n_classes <= len(p)), palettes[-1])
