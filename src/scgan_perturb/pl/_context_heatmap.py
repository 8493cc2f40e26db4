"""Effects of genes in contexts: which move in all contexts, which in few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy

from .._checks import check_count
from .._keys import TSPG, tspg_keys
from ..data._contexts import SEPARATOR
from ..get._context_genes import MIN_MEAN, context_genes_df
from ..get._rank_genes import read_context_effects
from ._layout import (
    AXIS_FONTSIZE,
    LINE,
    POINTS_PER_INCH,
    ROW_FONTSIZE,
    axes_or_new,
    extent_inches,
    label_axes,
    lay_out,
    size_inches,
    text_inches,
    wrap,
)
from ._show import finish, plain

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

ROW_INCHES = 0.13
COLUMN_INCHES = 0.3
BESIDE_INCHES = 1.9  # of the kinds' names and the colour bar
BELOW_INCHES = 1.1  # of title and axis label
FEWEST_ROWS = 14  # of room, which the colour bar's label needs
LABEL_INCHES = 1.6  # longest line of a context's name
LABEL_SHARE = 0.36  # and its largest share of the figure's height
KINDS = {"all": "in all", "some": "in some", "one": "in one"}
UNTRAINED = "*"
NOTE = f"{UNTRAINED} no target samples trained"


def context_heatmap(
    adata: AnnData,
    *,
    n_genes: int = 15,
    min_mean: float = MIN_MEAN,
    key: str = TSPG,
    figsize: tuple[float, float | None] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | SubFigure | None:
    """Draw the effects of genes in contexts: those that move in all contexts, then in some, in one.

    Colours are mean perturbations over the samples of a context. Of each kind of gene, see
    :func:`~scgan_perturb.get.context_genes_df`, those with the largest effect in any context are
    drawn. Contexts with similar effects stand side by side. A star marks contexts whose target
    samples never trained: their effect is that of the others.

    Parameters
    ----------
    adata
        AnnData with the result of :func:`~scgan_perturb.tl.rank_genes`, of a fit with `context`.
    n_genes
        Largest number of genes to draw of each kind.
    min_mean
        Smallest mean perturbation of a gene that moves, as a share of its range.
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
        If the fit has no ranked genes, or no contexts.
    ValueError
        If `figsize` is not a size, `n_genes` is not a whole number of at least 1, or no gene moves
        by `min_mean`.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> adata.obs["cycling"] = adata.obs["phase"] != "G1"
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", context="cycling")
    >>> sp.tl.rank_genes(adata)
    >>> ax = sp.pl.context_heatmap(adata, show=False)
    """
    check_count("n_genes", n_genes)
    genes = context_genes_df(adata, min_mean=min_mean, key=key)
    effects = read_context_effects(adata, key)
    table = pd.DataFrame(effects.columns["scores"].T, effects.genes, effects.contexts)
    table = table.iloc[:, _alike_side_by_side(table.to_numpy().T)]
    shown = _choose_genes(genes[genes["moves"] != "none"], table, n_genes)
    if shown.empty:
        largest = table.abs().to_numpy().max()
        msg = (
            f"No gene moves by min_mean={min_mean:g} in any context: the largest mean perturbation "
            f"is {largest:.2g}. Choose a smaller min_mean."
        )
        raise ValueError(msg)
    drawn = table.loc[shown["gene"]]
    ax = _new_axes(drawn, figsize) if ax is None else ax
    _draw(ax, drawn)
    _part_kinds(ax, shown["moves"])
    untrained = np.array(effects.contexts, dtype=object)[~effects.is_trained]
    names = [f"{name} {UNTRAINED}" if name in untrained else name for name in drawn]
    params = adata.uns[tspg_keys(key).rank_genes]["params"]
    columns = SEPARATOR.join(map(str, np.atleast_1d(params["context"])))
    _label_contexts(ax, names)
    label_axes(
        ax,
        title=f"all sources → {params['target']}",
        xlabel=plain(f"{columns}\n{NOTE}" if len(untrained) else columns),
        rows=[plain(gene) for gene in drawn.index],
    )
    _label_contexts(ax, names)  # again, as label_axes gives all axis labels its size
    return finish(ax.figure, ax, show=show, return_fig=return_fig)


def _alike_side_by_side(effects: np.ndarray) -> np.ndarray:
    """An order of the rows: the leaves of their tree, the most similar neighbours together."""
    if len(effects) < 3:
        return np.arange(len(effects))
    return hierarchy.leaves_list(hierarchy.linkage(effects, "average", optimal_ordering=True))


def _choose_genes(genes: pd.DataFrame, effects: pd.DataFrame, n_genes: int) -> pd.DataFrame:
    """Of each kind the strongest genes; by number of contexts, then by context or mean."""
    strength = effects.abs().max(axis=1)[genes["gene"]].to_numpy()
    strongest = genes.iloc[np.argsort(-strength, kind="stable")]
    chosen = strongest.groupby("moves", observed=True).head(n_genes)
    context = effects.columns.get_indexer(chosen["strongest"])
    order = [
        -chosen["mean"],
        np.where(chosen["moves"] == "one", context, 0),
        -(chosen["n_up"] + chosen["n_down"]),
        chosen["moves"].cat.codes,
    ]
    return chosen.iloc[np.lexsort(order)]


def _new_axes(drawn: pd.DataFrame, figsize: tuple[float, float | None] | None) -> Axes:
    """Axes of a new figure, with a row a gene and a column a context."""
    genes = max(text_inches(gene, ROW_FONTSIZE) for gene in drawn.index)
    width, height = size_inches(figsize, genes + BESIDE_INCHES + COLUMN_INCHES * drawn.shape[1])
    longest = max(text_inches(name, ROW_FONTSIZE) for name in drawn)
    rows = ROW_INCHES * max(len(drawn), FEWEST_ROWS)
    return axes_or_new(None, width, height or rows + min(longest, LABEL_INCHES) + BELOW_INCHES)


def _draw(ax: Axes, effects: pd.DataFrame) -> None:
    """Draw the effects, and a colour bar."""
    limit = effects.abs().to_numpy().max()
    image = ax.imshow(effects, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    pad = 0.02 if ax.figure.get_layout_engine() else 0.15  # room for the names of the kinds
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.5, aspect=25, pad=pad)
    bar.set_label("mean perturbation\n(share of the gene's range)", fontsize=AXIS_FONTSIZE)
    bar.ax.tick_params(labelsize=AXIS_FONTSIZE)


def _part_kinds(ax: Axes, moves: pd.Series) -> None:
    """Draw lines between the kinds of genes, and name the kinds at the right."""
    start = 0
    for kind, number in moves.value_counts(sort=False).items():
        if not number:
            continue
        if start:
            ax.axhline(start - 0.5, color="white", linewidth=3)
        ax.text(
            1.02,
            start + (number - 1) / 2,
            KINDS[kind],
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=ROW_FONTSIZE,
        )
        start += number


def _label_contexts(ax: Axes, names: list[str]) -> None:
    """Name the columns, upwards, in letters no larger than the columns are wide."""
    inches = min(LABEL_INCHES, LABEL_SHARE * ax.figure.bbox.height / ax.figure.dpi)
    lay_out(ax.figure)
    room = extent_inches(ax)[0] * POINTS_PER_INCH / len(names) / LINE
    max_lines = 2 if room >= 2 * ROW_FONTSIZE else 1
    lines = [wrap(name, inches, ROW_FONTSIZE, max_lines=max_lines) for name in names]
    ax.set_xticks(range(len(names)), [plain("\n".join(part)) for part in lines], rotation=90)
    ax.tick_params(axis="x", labelsize=min(ROW_FONTSIZE, room / max(map(len, lines))))
