"""The genes that move most, with their spread over samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd

from .._keys import ALL, TSPG, tspg_keys
from ..get import rank_genes_df
from ._show import finish

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
        If `n_genes` is not at least 1.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", max_epochs=2)
    >>> sp.tl.rank_genes(adata)
    >>> ax = sp.pl.rank_genes(adata, "CD14+ Monocyte", show=False)
    """
    if n_genes < 1:
        msg = f"n_genes must be at least 1, not {n_genes!r}."
        raise ValueError(msg)
    table = rank_genes_df(adata, group, key=key)
    up, down = table[table["mean"] > 0][:n_genes], table[table["mean"] < 0][-n_genes:]
    shown = pd.concat([up, down])
    figure: Figure | SubFigure
    if ax is None:
        height = ROW_INCHES * max(len(shown), 6) + 1
        figure, ax = plt.subplots(figsize=(WIDTH_INCHES, height), layout="constrained")
    else:
        figure = ax.figure
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
    ax.set_yticks(range(len(shown)), shown["gene"], fontsize=7)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.tick_params(axis="x", labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("mean perturbation ± standard deviation\n(share of the gene's range)", fontsize=8)
    target = adata.uns[tspg_keys(key).rank_genes]["params"]["target"]
    ax.set_title(f"{'all sources' if group == ALL else group} → {target}", fontsize=9)
    return finish(figure, ax, show=show, return_fig=return_fig)
