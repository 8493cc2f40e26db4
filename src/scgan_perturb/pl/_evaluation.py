"""Where a fit stands between the floor and the baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from .._keys import ALL, COPIES, FLOOR, MODEL, TSPG
from .._messages import check_choice
from ..get import evaluation_df
from ._layout import axes_or_new, extent_inches, label_axes, size_inches
from ._legend import plan_legend
from ._show import finish

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 6.5
ROW_INCHES = 0.27
ROOM_INCHES = 4.7  # of the axes and the methods' names, beside a legend
FLOOR_LABEL, BASELINE_LABEL = "real target (the floor)", "baseline"
TOLD_LABEL, COPIES_LABEL = "baseline, told the label", "others' real samples, no perturbation"
MARKERS = (FLOOR_LABEL, MODEL, BASELINE_LABEL, TOLD_LABEL, COPIES_LABEL)
# Okabe and Ito's colours, told apart by all kinds of sight.
MODEL_COLOR, OTHER_COLOR, FLOOR_COLOR = "#d55e00", "#4d4d4d", "#0072b2"
# Metrics, what to write at the axis, and whether the smallest value comes on top.
LABELS = {
    "e_distance": ("E-distance to real target samples, held out\n(lower is better)", True),
    "mmd": ("MMD² to real target samples, held out\n(lower is better)", True),
    "mean_r2": ("R² of gene means with real target samples, held out\n(higher is better)", False),
    "variance_r2": (
        "R² of gene variances with real target samples, held out\n(higher is better)",
        False,
    ),
    "two_sample_auc": (
        "AUC of telling apart from real target samples, held out\n(0.5 is best)",
        True,
    ),
    "success": ("share called the target by the classifier of the fit", False),
    "success_logistic_regression": ("share called the target by a logistic regression", False),
    "success_random_forest": ("share called the target by a random forest", False),
    "perturbation": ("mean absolute change of a gene, as a share of its range", True),
}
LINEAR_UP_TO = 0.1  # a distance below this is drawn in proportion, one above it by its logarithm
FAR = 3 * LINEAR_UP_TO  # where nothing is farther off, all is drawn in proportion
TICK_INCHES = 0.3  # between numbers at the axis, at least
FEWEST_TICKS = 3  # so that a distance can be read off


def evaluation(
    adata: AnnData,
    *,
    metric: Literal[
        "e_distance",
        "mmd",
        "mean_r2",
        "variance_r2",
        "two_sample_auc",
        "success",
        "success_logistic_regression",
        "success_random_forest",
        "perturbation",
    ] = "e_distance",
    source: str = ALL,
    key: str = TSPG,
    figsize: tuple[float, float | None] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | SubFigure | None:
    """Draw where the model stands between real samples and the baselines, the best on top.

    Dots with 95 % bootstrap intervals, where there are such; the blue line and band are those of
    real against real, the floor. Hollow dots are baselines that are told the label of each
    sample; crosses are real samples of other individuals, no perturbation of the sample. Far-off
    distances are drawn on a logarithmic scale.

    Parameters
    ----------
    adata
        AnnData with an evaluated fit, see :func:`~scgan_perturb.tl.evaluate`.
    metric
        Column of :func:`~scgan_perturb.get.evaluation_df` to draw.
    source
        `"all"` for the samples of all sources together, or a source class.
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
        If there is no such fit, evaluation or source.
    ValueError
        If `figsize` is no size, or `metric` none of the above.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", recipe=sp.tl.Transport(max_epochs=2))
    >>> sp.tl.evaluate(adata)
    >>> ax = sp.pl.evaluation(adata, show=False)
    """
    check_choice("metric", metric, LABELS)
    table = evaluation_df(adata, source=source, key=key)
    label, lower_is_better = LABELS[metric]
    floor = table[table["method"] == FLOOR]
    rows = table[table["method"] != FLOOR].dropna(subset=[metric])
    rows = rows.sort_values(metric, ascending=lower_is_better, kind="stable")
    width, height = size_inches(figsize, WIDTH_INCHES)
    natural = ROW_INCHES * max(len(rows), 4) + 1.2
    legend = plan_legend(
        MARKERS, axes=ax, width=width, height=height or natural, room=ROOM_INCHES, grows=not height
    )
    ax = axes_or_new(ax, width, height or natural + legend.inches_below)
    if rows.empty:
        ax.text(0.5, 0.5, "nothing measured", ha="center", va="center", transform=ax.transAxes)
    else:
        legend.draw(ax, _draw_floor(ax, floor, metric) | _draw_methods(ax, rows, metric))
    whose = "other samples" if source == ALL else source
    label_axes(
        ax,
        title=f"{whose} → {table['target'].iloc[0]}",
        xlabel=label,
        rows=list(rows["method"]),
    )
    _emphasise(ax, MODEL)
    if metric in ("e_distance", "mmd") and max(map(abs, ax.get_xlim())) > FAR:
        ax.set_xscale("symlog", linthresh=LINEAR_UP_TO)
        ax.autoscale(axis="x")  # margins in the new scale
        _plain_ticks(ax)
    ax.spines[["top", "right"]].set_visible(False)
    return finish(ax.figure, ax, show=show, return_fig=return_fig)


def _draw_methods(ax: Axes, rows: pd.DataFrame, metric: str) -> dict[str, Artist]:
    """A row a method: a dot, its interval, its name."""
    ours, copies = rows["method"] == MODEL, rows["method"].isin(COPIES)
    told = rows["is_told_label"].astype(bool)
    values, places = rows[metric].to_numpy(), np.arange(len(rows))
    colors = np.where(ours, MODEL_COLOR, OTHER_COLOR)
    if f"{metric}_low" in rows:
        ends = (rows[f"{metric}_{end}"].to_numpy() for end in ("low", "high"))
        ax.hlines(places, *ends, color=colors, linewidth=1.2)
    dots = (
        (MODEL, ours, 60, "D", MODEL_COLOR, MODEL_COLOR),
        (BASELINE_LABEL, ~(ours | copies | told), 32, "o", OTHER_COLOR, OTHER_COLOR),
        (TOLD_LABEL, told, 32, "o", "white", OTHER_COLOR),
        (COPIES_LABEL, copies, 70, "X", OTHER_COLOR, "white"),
    )
    drawn: dict[str, Artist] = {}
    for name, chosen, area, marker, inside, edge in dots:
        if chosen.any():
            drawn[name] = ax.scatter(
                values[chosen],
                places[chosen],
                area,
                label=name,
                marker=marker,
                facecolor=inside,
                edgecolor=edge,
                zorder=3,
                clip_on=False,
            )
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", linewidth=0.4, color="lightgrey")
    ax.set_axisbelow(True)
    return drawn


def _emphasise(ax: Axes, method: str) -> None:
    for tick in ax.get_yticklabels():
        if tick.get_text() == method:
            tick.set(color=MODEL_COLOR, fontweight="bold")


def _draw_floor(ax: Axes, floor: pd.DataFrame, metric: str) -> dict[str, Artist]:
    """Real against real: a line, and a band for its interval."""
    value = floor[metric].iloc[0]
    if not np.isfinite(value):
        return {}
    line = ax.axvline(value, color=FLOOR_COLOR, linewidth=1.2, label=FLOOR_LABEL)
    if f"{metric}_low" in floor:
        low, high = (floor[f"{metric}_{end}"].iloc[0] for end in ("low", "high"))
        if np.isfinite(low + high):
            ax.axvspan(low, high, color=FLOOR_COLOR, alpha=0.15, linewidth=0)
    return {FLOOR_LABEL: line}


def _plain_ticks(ax: Axes) -> None:
    """Numbers as they are read: 0, tens and threes where there is room, others if these are few."""
    low, high = ax.get_xlim()
    width, _ = extent_inches(ax)
    place = (ax.transScale + ax.transLimits).transform
    shown: dict[float, float] = {}  # where each number stands, in inches
    for digits in ((0,), (1, 3), (2, 5), (1.5, 7)):
        if len(shown) >= FEWEST_TICKS:
            break
        for tick in (s * d * 10.0**e for d in digits for e in range(-1, 4) for s in (1, -1)):
            inches = width * place((tick, 0))[0]
            if low <= tick <= high and all(abs(inches - i) >= TICK_INCHES for i in shown.values()):
                shown[tick] = inches
    ax.set_xticks(sorted(shown), [f"{tick:g}" for tick in sorted(shown)])
    ax.set_xticks([], minor=True)
    ax.set_xlim(low, high)
