"""The paper's heatmap: a sample, its perturbation, the sum and the target's mean, gene by gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from .._keys import TSPG
from .._recipes import PAPER
from ..data._labels import several
from ..get import model as get_model
from ..get import transition
from ..models._perturbation_model import N_DRAWS_EXPECTED
from ._layout import add_titles, extent_inches, lay_out, size_inches, text_inches
from ._show import finish, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

COLUMNS = ("x", "perturbation", "xadv", "target_mean")
HEIGHT_INCHES = 6.5
ROW_INCHES = 4.2  # of several rows of panels
PANEL_INCHES = 3.1
COLUMNS_INCHES = 1.4  # narrowest width of the four columns, with a gap
BAR_INCHES = 0.9  # of the colour bar
GENE_FONTSIZE = 6.5
GENES_PER_INCH = 8.5  # at this font size
LABEL_LINE = {
    "arrowstyle": "-",
    "linewidth": 0.4,
    "color": "grey",
    "shrinkA": 0,
    "shrinkB": 0,
    "relpos": (1, 0.5),  # starts at the end of the name
    "patchA": None,  # not clipped there
}
N_STRONGEST = 12  # genes labelled at each end if not all fit


def perturbation_heatmap(
    adata: AnnData,
    obs_names: str | Sequence[str],
    *,
    key: str = TSPG,
    figsize: tuple[float, float | None] | None = None,
    ax: Axes | None = None,
    expected: bool = True,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | list[Axes] | Figure | SubFigure | None:
    """Draw how samples turn into the target, gene by gene (paper, figures 2 to 5).

    Each sample has a panel. Its columns are the sample x, the perturbation P after clipping, the
    perturbed sample, and the target's mean. Its rows are the genes, from the most increased to the
    most decreased. Values are scaled to the range of the training samples. If not all gene names
    fit, the genes that change most in each direction are labelled.

    Parameters
    ----------
    adata
        AnnData with a fit and its perturbed layer.
    obs_names
        Sample or samples.
    key
        Name of the fit.
    figsize
        Width and height in inches, such as `(3.5, 4)`. With `(3.5, None)` the height follows the
        content; with None the width is the plot's default too. Ignored with `ax`.
    ax
        Axes to draw on, for a single sample.
    expected
        Whether to draw what to expect, the mean over 16 draws; False for the draw in the layer,
        which could exist. Recipe "paper" draws nothing.
    show
        Show the figure; None for scanpy's `settings.autoshow`.
    return_fig
        Return the figure.

    Returns
    -------
    The figure if `return_fig`, else None if shown, else the axes, one for each sample.

    Raises
    ------
    KeyError
        If there is no such fit, layer or sample.
    ValueError
        If `figsize` is not a size, `ax` is given for several samples, or no sample is named.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> axes = sp.pl.perturbation_heatmap(adata, adata.obs_names[:2], show=False)
    """
    names = several(obs_names)
    if not names or (ax is not None and len(names) > 1):
        msg = f"obs_names must name at least one sample, and just one if ax is given, not {names}."
        raise ValueError(msg)
    tables = [transition(adata, str(name), expected=expected, key=key) for name in names]
    params = get_model(adata, key=key).params
    if ax is None:
        axes = _new_panels(len(names), _gene_inches([str(g) for g in tables[0].index]), figsize)
    else:
        axes = [ax]
    for panel, table in zip(axes, tables, strict=True):
        image = _draw_panel(panel, table)
    figure = axes[0].figure
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=25, pad=0.02)
    is_mean = expected and params.get("recipe") != PAPER
    mean = f"\n(mean of {N_DRAWS_EXPECTED} draws)" if is_mean else ""
    bar.set_label(f"share of the gene's range in training{mean}", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    labels = adata.obs.get(params["groupby"], {})
    titles = [f"{labels.get(name, '')} → {params['target']}\n{name}" for name in names]
    add_titles(axes, titles)  # now, because the height of the axes decides which genes are named
    lay_out(figure)
    for panel, table in zip(axes, tables, strict=True):
        _label_genes(panel, table.index)
    add_titles(axes, titles)  # again, to extend over the genes' names
    return finish(figure, axes[0] if ax is not None else axes, show=show, return_fig=return_fig)


def _new_panels(
    n: int, gene_inches: float, figsize: tuple[float, float | None] | None
) -> list[Axes]:
    """Axes of a new figure, one a sample, in as many rows as the width requires."""
    width, height = size_inches(figsize, PANEL_INCHES * n + BAR_INCHES)
    n_columns = min(n, max(int((width - BAR_INCHES) // (gene_inches + COLUMNS_INCHES)), 1))
    n_rows = -(-n // n_columns)
    _, grid = plt.subplots(
        n_rows,
        n_columns,
        figsize=(width, height or (HEIGHT_INCHES if n_rows == 1 else ROW_INCHES * n_rows)),
        layout="constrained",
        squeeze=False,
    )
    for unused in grid.flat[n:]:
        unused.remove()
    return list(grid.flat[:n])


def _draw_panel(ax: Axes, table: pd.DataFrame) -> AxesImage:
    for i, column in enumerate(COLUMNS):
        # One image a column: matplotlib averages rows finer than a pixel, columns stay apart.
        image = ax.imshow(
            table[[column]].to_numpy(),
            aspect="auto",
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
            extent=(i - 0.48, i + 0.48, len(table), 0),
        )
    ax.set_xlim(-0.5, len(COLUMNS) - 0.5)
    ax.set_xticks(range(len(COLUMNS)), ["$x$", "$P$", "$x_{adv}$", "$\\mu_t$"], fontsize=8)
    ax.tick_params(axis="x", length=0)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return image


def _gene_inches(genes: Sequence[str]) -> float:
    """Width of the longest gene name that may be shown."""
    return max(text_inches(g, GENE_FONTSIZE) for g in (*genes[:N_STRONGEST], *genes[-N_STRONGEST:]))


def _label_genes(ax: Axes, genes: pd.Index) -> None:
    """Name all genes if there is room, else the first and the last, joined to their rows by lines."""
    _, height = extent_inches(ax)
    room = int(height * GENES_PER_INCH)
    names = [plain(gene) for gene in genes]
    if len(genes) <= room:
        ax.set_yticks(np.arange(len(genes)) + 0.5, names, fontsize=GENE_FONTSIZE)
        ax.tick_params(axis="y", length=0)
        return
    step = 1 / (height * GENES_PER_INCH)
    for i in range(min(N_STRONGEST, room // 2)):
        for row, height_of_name in (
            (i, 1 - (i + 0.5) * step),
            (len(genes) - 1 - i, (i + 0.5) * step),
        ):
            ax.annotate(
                names[row],
                xy=(0, 1 - (row + 0.5) / len(genes)),
                xycoords="axes fraction",
                xytext=(-12, height_of_name),
                textcoords=("axes points", "axes fraction"),
                ha="right",
                va="center",
                fontsize=GENE_FONTSIZE,
                arrowprops=LABEL_LINE,
            )
