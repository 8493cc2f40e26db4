"""Draw enriched gene sets, the most significant first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._checks import check_count
from .._keys import TSPG, tspg_keys
from ..get import enrichment_df
from ._colors import FAINT, ink
from ._layout import (
    DIRECTION_COLORS,
    ROW_FONTSIZE,
    axes_or_new,
    extent_inches,
    label_axes,
    size_inches,
    wrap,
)
from ._show import finish, plain

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 6.5
ROW_INCHES, LINE_INCHES = 0.25, 0.12  # height of a row, and of each further line in it
TERM_INCHES, TERM_SHARE = 2.4, 0.5  # widest term, in inches and as a share of the figure
MAX_LINES = 3
DOT_AREAS = (25, 180)  # points², for no overlap and the largest overlap
SIGNIFICANT = 0.05


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

    Red sets hold increased genes, blue sets decreased genes. The dashed line is at q = 0.05.

    Parameters
    ----------
    adata
        AnnData with the result of :func:`~scgan_perturb.tl.enrich`.
    name
        Name of the result, as given by `key_added`; None for `f"{key}_enrichment"`.
    n_terms
        Largest number of sets to draw.
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
        If there is no such result.
    ValueError
        If `figsize` is not a size, or `n_terms` is not a whole number of at least 1.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.rank_genes(adata)
    >>> sets = {"B cell": ["CD79A", "CD79B", "MS4A1"], "T cell": ["CD3D", "CD3E", "IL32"]}
    >>> sp.tl.enrich(adata, sets, method="prerank", min_size=2)
    >>> ax = sp.pl.enrichment(adata, show=False)
    """
    check_count("n_terms", n_terms)
    table = enrichment_df(adata, name, key=key).head(n_terms)
    width, height = size_inches(figsize, WIDTH_INCHES)
    term_inches = min(TERM_INCHES, TERM_SHARE * (extent_inches(ax)[0] if ax else width))
    terms = [_short(term, term_inches) for term in table["term"]]
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
    increases = table["nes"] > 0 if "nes" in table else np.full(len(table), direction == "up")
    overlap = table["overlap"].to_numpy()
    ax.scatter(
        -np.log10(table["q_value"].clip(lower=np.finfo(float).tiny)),
        range(len(table)),
        s=np.interp(overlap, (0, overlap.max()), DOT_AREAS),
        color=[DIRECTION_COLORS["up" if increase else "down"] for increase in increases],
        linewidth=0,
        clip_on=False,
        zorder=3,
    )
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.grid(axis="y", linewidth=0.4, color=ink(ax, FAINT))
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
    """A term in at most three lines, with spaces for MSigDB's underscores."""
    lines = wrap(term.replace("_", " "), inches, ROW_FONTSIZE, max_lines=MAX_LINES)
    return plain("\n".join(lines))
