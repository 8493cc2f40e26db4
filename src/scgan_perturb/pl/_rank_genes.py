"""Draw the genes that change most, with their spread over samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._checks import check_count
from .._keys import ALL, TSPG, tspg_keys
from ..data._labels import single
from ..get import rank_genes_df
from ._layout import DIRECTION_COLORS, axes_or_new, label_axes, size_inches
from ._show import finish, plain

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 4.2
ROW_INCHES = 0.17


def rank_genes(
    adata: AnnData,
    group: object = ALL,
    *,
    n_genes: int = 20,
    key: str = TSPG,
    figsize: tuple[float, float | None] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | SubFigure | None:
    """Draw the most increased and the most decreased genes of a group.

    Points are the mean perturbation over the samples. Bars reach one standard deviation to either
    side.

    Parameters
    ----------
    adata
        AnnData with the result of :func:`~scgan_perturb.tl.rank_genes`.
    group
        Source class, or `"all"` for all samples together.
    n_genes
        Largest number of genes to draw in each direction.
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
        If the fit has no ranked genes, or no such group.
    ValueError
        If `figsize` is not a size, or `n_genes` is not a whole number of at least 1.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.rank_genes(adata)
    >>> ax = sp.pl.rank_genes(adata, "CD14+ Monocyte", show=False)
    """
    check_count("n_genes", n_genes)
    table = rank_genes_df(adata, single(group, "group"), key=key)
    group = str(table["group"].iloc[0])
    up, down = table[table["mean"] > 0][:n_genes], table[table["mean"] < 0][-n_genes:]
    shown = pd.concat([up, down])
    width, height = size_inches(figsize, WIDTH_INCHES)
    ax = axes_or_new(ax, width, height or ROW_INCHES * max(len(shown), 6) + 1)
    start = 0
    for direction, part in (("up", up), ("down", down)):
        ax.errorbar(
            part["mean"],
            range(start, start + len(part)),
            xerr=part["sd"].fillna(0),
            fmt="o",
            markersize=4,
            linewidth=1,
            color=DIRECTION_COLORS[direction],
        )
        start += len(part)
    ax.axvline(0, color="grey", linewidth=0.6)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.spines[["top", "right"]].set_visible(False)
    target = adata.uns[tspg_keys(key).rank_genes]["params"]["target"]
    label_axes(
        ax,
        title=f"{'all sources' if group == ALL else group} → {target}",
        xlabel="mean perturbation ± standard deviation\n(share of the gene's range)",
        rows=[plain(gene) for gene in shown["gene"]],
    )
    return finish(ax.figure, ax, show=show, return_fig=return_fig)
