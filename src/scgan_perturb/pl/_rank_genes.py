"""The genes that move most, with their spread over samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._keys import ALL, TSPG, tspg_keys
from ..get import rank_genes_df
from ._layout import axes_or_new, label_axes, size_inches
from ._show import finish, plain

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 4.2
ROW_INCHES = 0.17
COLORS = {"up": "#b2182b", "down": "#2166ac"}  # the ends of the heatmaps' colours


def rank_genes(
    adata: AnnData,
    group: str = ALL,
    *,
    n_genes: int = 20,
    key: str = TSPG,
    figsize: tuple[float, float | None] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | SubFigure | None:
    """Draw the most increased and the most decreased genes of a group.

    Points are the mean perturbation over the samples, bars reach one standard deviation to
    either side.

    Parameters
    ----------
    adata
        AnnData with ranked genes, see :func:`~scgan_perturb.tl.rank_genes`.
    group
        Source class, or `"all"` for all samples together.
    n_genes
        Number of genes in each direction, at most.
    key
        Name of the fit.
    figsize
        Width and height in inches, such as `(3.5, 4)`, or `(3.5, None)` for a height that grows with
        what is drawn; None for a width of the plot's own and such a height. Not used with `ax`.
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
        If genes were not ranked, or there is no such group.
    ValueError
        If `figsize` is no size, or `n_genes` is not at least 1.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", recipe=sp.tl.Transport(max_epochs=2))
    >>> sp.tl.rank_genes(adata)
    >>> ax = sp.pl.rank_genes(adata, "CD14+ Monocyte", show=False)
    """
    if n_genes < 1:
        msg = f"n_genes must be at least 1, not {n_genes!r}."
        raise ValueError(msg)
    table = rank_genes_df(adata, group, key=key)
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
            color=COLORS[direction],
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
