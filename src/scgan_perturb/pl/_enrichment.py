"""Enriched gene sets, the most significant first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._keys import TSPG, tspg_keys
from ..get import enrichment_df
from ._layout import ROW_FONTSIZE, axes_or_new, extent_inches, label_axes, size_inches, wrap
from ._show import finish, plain

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 6.5
ROW_INCHES, LINE_INCHES = 0.25, 0.12  # of a row, and of each further line in it
TERM_INCHES, TERM_SHARE = 2.4, 0.5  # of a line at most, and of the whole width
MAX_LINES = 3
DOT_AREAS = (25, 180)  # points², of the smallest and the largest overlap shown
SIGNIFICANT = 0.05
COLORS = {"up": "#b2182b", "down": "#2166ac"}  # the ends of the heatmaps' colours


def enrichment(
    adata: AnnData,
    name: str | None = None,
    *,
    n_terms: int = 15,
    key: str = TSPG,
    figsize: tuple[float, float | None] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | SubFigure | None:
    """Draw the most significant gene sets: −log10 q, and the number of genes as the dot's area.

    Red stands for increased genes, blue for decreased ones; the dashed line for q = 0.05.

    Parameters
    ----------
    adata
        AnnData with tested gene sets, see :func:`~scgan_perturb.tl.enrich`.
    name
        What the result was called by `key_added`; None for `f"{key}_enrichment"`.
    n_terms
        Number of sets, at most.
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
        If there is no such result.
    ValueError
        If `figsize` is no size, or `n_terms` is not at least 1.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", recipe=sp.tl.Transport(max_epochs=2))
    >>> sp.tl.rank_genes(adata)
    >>> sets = {"B cell": ["CD79A", "CD79B", "MS4A1"], "T cell": ["CD3D", "CD3E", "IL32"]}
    >>> sp.tl.enrich(adata, sets, method="prerank", min_size=2)
    >>> ax = sp.pl.enrichment(adata, show=False)
    """
    if n_terms < 1:
        msg = f"n_terms must be at least 1, not {n_terms!r}."
        raise ValueError(msg)
    table = enrichment_df(adata, name, key=key).head(n_terms)
    width, height = size_inches(figsize, WIDTH_INCHES)
    place = min(TERM_INCHES, TERM_SHARE * (extent_inches(ax)[0] if ax else width))
    terms = [_short(term, place) for term in table["term"]]
    row = ROW_INCHES + LINE_INCHES * max((term.count("\n") for term in terms), default=0)
    ax = axes_or_new(ax, width, height or row * max(len(table), 4) + 1)
    params = adata.uns[name or tspg_keys(key).enrichment]["params"]
    if table.empty:
        ax.text(0.5, 0.5, "no gene set found", ha="center", va="center", transform=ax.transAxes)
    else:
        _draw_dots(ax, table, params.get("direction"))
    ax.axvline(-np.log10(SIGNIFICANT), color="grey", linewidth=0.8, linestyle="--")
    ax.set_xlim(left=0)
    ax.spines[["top", "right"]].set_visible(False)
    title = [params["gene_sets"], params["group"], params.get("direction", params["method"])]
    label_axes(ax, title=", ".join(title), xlabel="−log10(q)", rows=terms)
    return finish(ax.figure, ax, show=show, return_fig=return_fig)


def _draw_dots(ax: Axes, table: pd.DataFrame, direction: str | None) -> None:
    rises = table["nes"] > 0 if "nes" in table else np.full(len(table), direction == "up")
    overlap = table["overlap"].to_numpy()
    ax.scatter(
        -np.log10(table["q_value"].clip(lower=np.finfo(float).tiny)),
        range(len(table)),
        s=np.interp(overlap, (0, overlap.max()), DOT_AREAS),
        color=[COLORS["up" if rise else "down"] for rise in rises],
        linewidth=0,
        clip_on=False,
        zorder=3,
    )
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.grid(axis="y", linewidth=0.4, color="lightgrey")
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0, pad=DOT_AREAS[1] ** 0.5 / 2 + 2)  # a dot at 0 covers no term
    counts = np.unique([overlap.min(), round(np.median(overlap)), overlap.max()])
    handles = [
        ax.scatter([], [], s=np.interp(count, (0, overlap.max()), DOT_AREAS), color="grey")
        for count in counts
    ]
    ax.legend(
        handles,
        [f"{count:,}" for count in counts],
        title="genes",
        title_fontsize=8,
        fontsize=8,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        labelspacing=1,
    )
    ax.set_xlim(right=max(ax.get_xlim()[1], -np.log10(SIGNIFICANT) * 1.15))


def _short(term: str, inches: float) -> str:
    """A term in three lines at most; MSigDB writes underscores for spaces."""
    lines = wrap(term.replace("_", " "), inches, ROW_FONTSIZE, max_lines=MAX_LINES)
    return plain("\n".join(lines))
