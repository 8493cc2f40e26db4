"""Draw a fit between the floor and the baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from .._keys import ALL, COPIES, FLOOR, TSPG
from .._messages import check_choice
from ..data._labels import several, single
from ..evaluation._verdict import judged_method, short_verdict
from ..get import evaluation_df
from ._colors import FAINT, background, ink
from ._evaluation_metrics import LABELS
from ._layout import axes_or_new, extent_inches, label_axes, size_inches
from ._legend import plan_legend
from ._show import finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 6.5
PANEL_INCHES = 2.9  # width of each metric after the first
NARROWEST_INCHES = 3.6  # of the first metric with the methods' names; below it metrics are stacked
ROW_INCHES = 0.27
ROOM_INCHES = 4.7  # of the axes with the methods' names, where the legend is beside them
FLOOR_LABEL, BASELINE_LABEL = "real target (the floor)", "baseline"
TOLD_LABEL, COPIES_LABEL = "baseline, told the label", "others' real samples, no perturbation"
# How near to real samples, and whether a classifier can tell the difference.
DEFAULT_METRICS = ("e_distance", "auc_random_forest")
# Okabe and Ito's colours, which colour-blind readers can tell apart.
MODEL_COLOR, FLOOR_COLOR = "#d55e00", "#0072b2"
OTHERS = 0.7  # share of the text's colour in the marks of other methods
DISTANCES = ("e_distance", "e_distance_pca", "mmd")
CHANCE = 0.5  # of an AUC
LINEAR_UP_TO = 0.1  # distances are drawn on a linear scale up to here, then on a logarithmic one
FAR = 3 * LINEAR_UP_TO  # the scale is all linear if no distance is larger
TICK_INCHES = 0.3  # smallest gap between numbers at the axis
FEWEST_TICKS = 3


def evaluation(
    adata: AnnData,
    *,
    metric: str | Sequence[str] | None = None,
    source: object = ALL,
    context: object = ALL,
    key: str = TSPG,
    figsize: tuple[float, float | None] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | list[Axes] | Figure | SubFigure | None:
    """Draw the model beside real samples and the baselines, the best method on top.

    Dots have 95 % bootstrap intervals if the evaluation has them. The blue line and band are the
    floor: real samples against real samples. Hollow dots are baselines that are told the label of
    each sample. Crosses are real samples of other individuals, which are no perturbation of the
    sample. Large distances are drawn on a logarithmic scale. The title says whether a test tells
    the perturbed samples from real ones.

    Parameters
    ----------
    adata
        AnnData with the result of :func:`~scgan_perturb.tl.evaluate`.
    metric
        Column of :func:`~scgan_perturb.get.evaluation_df`, or several to draw side by side. The first
        decides the order of the rows. None for the E-distance and the AUC of a random forest; with
        `ax`, for the E-distance alone.
    source
        A source class, or `"all"` for the samples of all sources together.
    context
        A context of `by=`, or `"all"` for the average over them.
    key
        Name of the fit, or of the evaluated prediction.
    figsize
        Width and height in inches, such as `(3.5, 4)`. With `(3.5, None)` the height follows the
        content; with None the width is the plot's default too. Ignored with `ax`.
    ax
        Axes to draw a single metric on.
    show
        Show the figure; None for scanpy's `settings.autoshow`.
    return_fig
        Return the figure.

    Returns
    -------
    The figure if `return_fig`, else None if shown, else the axes (a list for several metrics).

    Raises
    ------
    KeyError
        If there is no such fit, evaluation, source or context.
    ValueError
        If `figsize` is not a size, `metric` is not a column, or `ax` is given for several metrics.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.evaluate(adata)
    >>> distance, auc = sp.pl.evaluation(adata, show=False)
    """
    metrics = _chosen(metric, ax)
    source, context = single(source, "source"), single(context, "context")
    table = evaluation_df(adata, source=source, context=context, key=key)
    if missing := [name for name in metrics if name not in table]:
        msg = (
            f"The evaluation has no column {missing[0]!r}: an earlier version made it. "
            "Call sp.tl.evaluate(adata) again."
        )
        raise ValueError(msg)
    rows = table[table["method"] != FLOOR]
    best_first = rows.sort_values(metrics[0], ascending=LABELS[metrics[0]][1], kind="stable")
    rows = best_first.dropna(subset=metrics, how="all")
    further = PANEL_INCHES * (len(metrics) - 1)
    width, height = size_inches(figsize, WIDTH_INCHES + further)
    stacked = len(metrics) > 1 and width < NARROWEST_INCHES + further
    natural = (ROW_INCHES * max(len(rows), 4) + 1.4) * (len(metrics) if stacked else 1)
    evaluated = judged_method(table)
    legend = plan_legend(
        (FLOOR_LABEL, evaluated, BASELINE_LABEL, TOLD_LABEL, COPIES_LABEL),
        axes=ax,
        width=width,
        height=height or natural,
        room=ROOM_INCHES + (0 if stacked else further),
        grows=not height,
    )
    shape = (len(metrics), 1) if stacked else (1, len(metrics))
    panels = _panels(ax, shape, width, height or natural + legend.inches_below)
    handles: dict[str, Artist] = {}
    for panel, name in zip(panels, metrics, strict=True):
        handles |= _draw_metric(panel, name, rows, table[table["method"] == FLOOR], evaluated)
    if handles:
        legend.draw(panels[-1], handles)
    target, source = table["target"].iloc[0], table["source"].iloc[0]
    context = table["context"].iloc[0] if "context" in table else ALL
    verdict = short_verdict(table) if source == context == ALL else ""
    title = f"{'other samples' if source == ALL else source} → {target}"
    title += "" if context == ALL else f", {context}"
    for i, (panel, name) in enumerate(zip(panels, metrics, strict=True)):
        label_axes(
            panel,
            title=("\n".join(filter(None, [title, verdict]))) if i == 0 else "",
            xlabel=LABELS[name][0],
            rows=list(rows["method"]) if i == 0 or stacked else [""] * len(rows),
        )
        if name in DISTANCES and max(map(abs, panel.get_xlim())) > FAR:
            panel.set_xscale("symlog", linthresh=LINEAR_UP_TO)
            panel.autoscale(axis="x")  # margins in the new scale
            _plain_ticks(panel)
    for panel in panels:
        _emphasise(panel, evaluated)
    drawn = panels[0] if len(panels) == 1 else panels
    return finish(panels[0].figure, drawn, show=show, return_fig=return_fig)


def _chosen(metric: str | Sequence[str] | None, ax: Axes | None) -> list[str]:
    """The metrics to draw."""
    if metric is None:
        return list(DEFAULT_METRICS[:1] if ax is not None else DEFAULT_METRICS)
    metrics = [str(name) for name in several(metric)]
    for name in metrics:
        check_choice("metric", name, LABELS)
    if not metrics or (ax is not None and len(metrics) > 1):
        msg = f"metric must name at least one column, and just one if ax is given, not {metric!r}."
        raise ValueError(msg)
    return metrics


def _panels(ax: Axes | None, shape: tuple[int, int], width: float, height: float) -> list[Axes]:
    """The user's axes, or the axes of a new figure: one for each metric."""
    if ax is not None or shape == (1, 1):
        return [axes_or_new(ax, width, height)]
    return list(plt.subplots(*shape, figsize=(width, height), layout="constrained")[1])


def _draw_metric(
    ax: Axes, metric: str, rows: pd.DataFrame, floor: pd.DataFrame, evaluated: str
) -> dict[str, Artist]:
    """Draw one panel; returns the handles for the legend."""
    ax.spines[["top", "right"]].set_visible(False)
    if rows[metric].isna().all():
        ax.text(0.5, 0.5, "nothing measured", ha="center", va="center", transform=ax.transAxes)
        return {}
    if "0.5 is best" in LABELS[metric][0]:
        ax.axvline(CHANCE, color=ink(ax, FAINT), linewidth=0.8, zorder=0)
    return _draw_floor(ax, floor, metric) | _draw_methods(ax, rows, metric, evaluated)


def _draw_methods(ax: Axes, rows: pd.DataFrame, metric: str, evaluated: str) -> dict[str, Artist]:
    """Draw a dot and its interval for each method."""
    ours, copies = rows["method"] == evaluated, rows["method"].isin(COPIES)
    told = rows["is_told_label"].astype(bool)
    values, heights = rows[metric].to_numpy(), np.arange(len(rows))
    gray, behind = ink(ax, OTHERS), background(ax)
    colors = [MODEL_COLOR if is_ours else gray for is_ours in ours]
    if f"{metric}_low" in rows:
        ends = (rows[f"{metric}_{end}"].to_numpy() for end in ("low", "high"))
        ax.hlines(heights, *ends, color=colors, linewidth=1.2)
    dots = (
        (evaluated, ours, 60, "D", MODEL_COLOR, MODEL_COLOR),
        (BASELINE_LABEL, ~(ours | copies | told), 32, "o", gray, gray),
        (TOLD_LABEL, told, 32, "o", behind, gray),
        (COPIES_LABEL, copies, 70, "X", gray, behind),
    )
    drawn: dict[str, Artist] = {}
    for name, chosen, area, marker, inside, edge in dots:
        if chosen.any():
            drawn[name] = ax.scatter(
                values[chosen],
                heights[chosen],
                area,
                label=name,
                marker=marker,
                facecolor=inside,
                edgecolor=edge,
                zorder=3,
                clip_on=False,
            )
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", linewidth=0.4, color=ink(ax, FAINT))
    ax.set_axisbelow(True)
    return drawn


def _emphasise(ax: Axes, method: str) -> None:
    for tick in ax.get_yticklabels():
        if tick.get_text() == method:
            tick.set(color=MODEL_COLOR, fontweight="bold")


def _draw_floor(ax: Axes, floor: pd.DataFrame, metric: str) -> dict[str, Artist]:
    """Draw real against real: a line, and a band for its interval."""
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
    """Write plain numbers at the axis: 0, powers of ten, then others while fewer than three fit."""
    low, high = ax.get_xlim()
    width, _ = extent_inches(ax)
    to_axes = (ax.transScale + ax.transLimits).transform
    shown: dict[float, float] = {}  # position of each number, in inches
    for digits in ((0,), (1, 3), (2, 5), (1.5, 7)):
        if len(shown) >= FEWEST_TICKS:
            break
        for tick in (s * d * 10.0**e for d in digits for e in range(-1, 4) for s in (1, -1)):
            inches = width * to_axes((tick, 0))[0]
            if low <= tick <= high and all(abs(inches - i) >= TICK_INCHES for i in shown.values()):
                shown[tick] = inches
    ax.set_xticks(sorted(shown), [f"{tick:g}" for tick in sorted(shown)])
    ax.set_xticks([], minor=True)
    ax.set_xlim(low, high)
