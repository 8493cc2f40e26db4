"""Enriched gene sets, the most significant first."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from .._keys import TSPG, tspg_keys
from ..get import enrichment_df
from ._show import finish

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 6.5
ROW_INCHES = 0.36  # two lines of text
TERM_WIDTH = 42  # characters a line
MAX_LINES = 2
DOT_AREAS = (25, 180)  # points², of the smallest and the largest overlap shown
SIGNIFICANT = 0.05
COLORS = {"up": "#b2182b", "down": "#2166ac"}  # the ends of the heatmaps' colours


def enrichment(
    adata: AnnData,
    name: str | None = None,
    *,
    n_terms: int = 15,
    key: str = TSPG,
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
        If `n_terms` is not at least 1.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", max_epochs=2)
    >>> sp.tl.rank_genes(adata)
    >>> sets = {"B cell": ["CD79A", "CD79B", "MS4A1"], "T cell": ["CD3D", "CD3E", "IL32"]}
    >>> sp.tl.enrich(adata, sets, method="prerank", min_size=2)
    >>> ax = sp.pl.enrichment(adata, show=False)
    """
    if n_terms < 1:
        msg = f"n_terms must be at least 1, not {n_terms!r}."
        raise ValueError(msg)
    table = enrichment_df(adata, name, key=key).head(n_terms)
    figure: Figure | SubFigure
    if ax is None:
        height = ROW_INCHES * max(len(table), 4) + 1
        figure, ax = plt.subplots(figsize=(WIDTH_INCHES, height), layout="constrained")
    else:
        figure = ax.figure
    params = adata.uns[name or tspg_keys(key).enrichment]["params"]
    if table.empty:
        ax.text(0.5, 0.5, "no gene set found", ha="center", va="center", transform=ax.transAxes)
        ax.set_yticks([])
    else:
        _draw_dots(ax, table, params.get("direction"))
    ax.axvline(-np.log10(SIGNIFICANT), color="grey", linewidth=0.8, linestyle="--")
    ax.set_xlim(left=0)
    ax.set_xlabel("−log$_{10}$ q", fontsize=8)
    ax.tick_params(axis="x", labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    title = [params["gene_sets"], params["group"], params.get("direction", params["method"])]
    ax.set_title(", ".join(title).replace("$", r"\$"), fontsize=9)
    return finish(figure, ax, show=show, return_fig=return_fig)


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
    ax.set_yticks(range(len(table)), map(_short, table["term"]), fontsize=7)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.grid(axis="y", linewidth=0.4, color="lightgrey")
    ax.set_axisbelow(True)
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


def _short(term: str) -> str:
    """A term in two lines at most; MSigDB writes underscores for spaces."""
    lines = textwrap.wrap(term.replace("_", " "), TERM_WIDTH) or [term]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], lines[MAX_LINES - 1][: TERM_WIDTH - 2] + " …"]
    return "\n".join(lines).replace("$", r"\$")
