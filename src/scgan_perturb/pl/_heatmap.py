"""The paper's figure: a sample, its perturbation, the result and the target, gene by gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from .._keys import TSPG
from ..data._labels import several
from ..get import model as get_model
from ..get import transition
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
PANEL_INCHES = 3.1
GENES_PER_INCH = 8  # names of 6.5 points, one below the other
LABEL_LINE = {
    "arrowstyle": "-",
    "linewidth": 0.4,
    "color": "grey",
    "shrinkA": 0,
    "shrinkB": 0,
    "relpos": (1, 0.5),  # from the end of the name
}
N_STRONGEST = 12  # genes labelled at each end where not all can be


def perturbation_heatmap(
    adata: AnnData,
    obs_names: str | Sequence[str],
    *,
    key: str = TSPG,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | list[Axes] | Figure | SubFigure | None:
    """Draw how samples turn into the target, gene by gene (paper, figures 2 to 5).

    A panel for each sample. Columns: the sample x, its perturbation P (after clipping), the
    perturbed sample, and the target's mean; rows: genes, from the most increased to the most
    decreased; all scaled to the range of the training samples. Where not all gene names can be
    read, the strongest at either end are labelled.

    Parameters
    ----------
    adata
        AnnData with a fit and its perturbed layer.
    obs_names
        Sample or samples.
    key
        Name of the fit.
    ax
        Axes to draw on, for a single sample.
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
        If `ax` is given for several samples, or no sample is.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", max_epochs=2)
    >>> axes = sp.pl.perturbation_heatmap(adata, adata.obs_names[:2], show=False)
    """
    names = several(obs_names)
    if not names or (ax is not None and len(names) > 1):
        msg = f"obs_names must name at least one sample, and just one if ax is given, not {names}."
        raise ValueError(msg)
    tables = [transition(adata, str(name), key=key) for name in names]
    params = get_model(adata, key=key).params
    figure: Figure | SubFigure
    if ax is None:
        figure, grid = plt.subplots(
            1,
            len(names),
            figsize=(PANEL_INCHES * len(names) + 0.9, HEIGHT_INCHES),
            layout="constrained",
            squeeze=False,
        )
        axes = list(grid.flat)
    else:
        figure, axes = ax.figure, [ax]
    for panel, name, table in zip(axes, names, tables, strict=True):
        image = _draw_panel(panel, table)
        label = adata.obs[params["groupby"]].get(name, "") if params["groupby"] in adata.obs else ""
        panel.set_title(plain(f"{label} → {params['target']}\n{name}"), fontsize=9)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=25, pad=0.02)
    bar.set_label("share of the gene's range in training", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return finish(figure, axes[0] if ax is not None else axes, show=show, return_fig=return_fig)


def _draw_panel(ax: Axes, table: pd.DataFrame) -> AxesImage:
    for place, column in enumerate(COLUMNS):
        # An image a column: rows finer than a pixel are averaged, columns stay apart.
        image = ax.imshow(
            table[[column]].to_numpy(),
            aspect="auto",
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
            extent=(place - 0.48, place + 0.48, len(table), 0),
        )
    ax.set_xlim(-0.5, len(COLUMNS) - 0.5)
    ax.set_xticks(range(len(COLUMNS)), ["$x$", "$P$", "$x_{adv}$", "$\\mu_t$"], fontsize=9)
    ax.tick_params(axis="x", length=0)
    ax.spines[:].set_visible(False)
    _label_genes(ax, table.index)
    return image


def _label_genes(ax: Axes, genes: pd.Index) -> None:
    """Name all genes where there is room, else the first and last, spread out with lines."""
    room = int(HEIGHT_INCHES * 0.8 * GENES_PER_INCH)
    if len(genes) <= room:
        ax.set_yticks(np.arange(len(genes)) + 0.5, genes, fontsize=6.5)
        ax.tick_params(axis="y", length=0)
        return
    ax.set_yticks([])
    step = 1 / (HEIGHT_INCHES * GENES_PER_INCH * 0.85)
    for i in range(N_STRONGEST):
        for row, place in ((i, 1 - (i + 0.5) * step), (len(genes) - 1 - i, (i + 0.5) * step)):
            ax.annotate(
                genes[row],
                xy=(0, 1 - (row + 0.5) / len(genes)),
                xycoords="axes fraction",
                xytext=(-0.1, place),
                textcoords="axes fraction",
                ha="right",
                va="center",
                fontsize=6.5,
                arrowprops=LABEL_LINE,
            )
