"""Where a fit stands between the floor and the baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import matplotlib.pyplot as plt
import numpy as np

from .._keys import ALL, COPIES, FLOOR, MODEL, TSPG
from ..get import evaluation_df
from ._show import finish, plain

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_INCHES = 6.5
ROW_INCHES = 0.27
# Okabe and Ito's colours, told apart by all kinds of sight.
MODEL_COLOR, OTHER_COLOR, FLOOR_COLOR = "#d55e00", "#4d4d4d", "#0072b2"
# Metrics, what to write at the axis, and whether the smallest value comes on top.
LABELS = {
    "e_distance": ("E-distance to real {}, held out (lower is better)", True),
    "mmd": ("MMD² to real {}, held out (lower is better)", True),
    "mean_r2": ("R² of gene means with real {}, held out (higher is better)", False),
    "variance_r2": ("R² of gene variances with real {}, held out (higher is better)", False),
    "two_sample_auc": ("AUC of telling apart from real {}, held out (0.5 is best)", True),
    "success": ("share called {} by the classifier of the fit", False),
    "success_logistic_regression": ("share called {} by a logistic regression", False),
    "success_random_forest": ("share called {} by a random forest", False),
    "perturbation": ("mean absolute change of a gene, as a share of its range", True),
}
LINEAR_UP_TO = 0.1  # a distance below this is drawn in proportion, one above it by its logarithm


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
        If `metric` is none of the above.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", max_epochs=40)
    >>> sp.tl.evaluate(adata)
    >>> ax = sp.pl.evaluation(adata, show=False)
    """
    if metric not in LABELS:
        msg = f"metric must be one of {', '.join(map(repr, LABELS))}, not {metric!r}."
        raise ValueError(msg)
    table = evaluation_df(adata, source=source, key=key)
    label, lower_is_better = LABELS[metric]
    floor = table[table["method"] == FLOOR]
    rows = table[table["method"] != FLOOR].dropna(subset=[metric])
    rows = rows.sort_values(metric, ascending=lower_is_better, kind="stable")
    figure: Figure | SubFigure
    if ax is None:
        height = ROW_INCHES * max(len(rows), 4) + 1.2
        figure, ax = plt.subplots(figsize=(WIDTH_INCHES, height), layout="constrained")
    else:
        figure = ax.figure
    if rows.empty:
        ax.text(0.5, 0.5, "nothing measured", ha="center", va="center", transform=ax.transAxes)
        ax.set_yticks([])
    else:
        _draw_floor(ax, floor, metric)
        _draw_methods(ax, rows, metric)
        ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    if metric in ("e_distance", "mmd"):
        ax.set_xscale("symlog", linthresh=LINEAR_UP_TO)
        _plain_ticks(ax)
    target = plain(table["target"].iloc[0])
    ax.set_xlabel(label.format(target), fontsize=8)
    ax.tick_params(axis="x", labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    whose = "other samples" if source == ALL else source
    ax.set_title(f"{plain(whose)} → {target}", fontsize=9)
    return finish(figure, ax, show=show, return_fig=return_fig)


def _draw_methods(ax: Axes, rows: pd.DataFrame, metric: str) -> None:
    """A row a method: a dot, its interval, its name."""
    ours, copies = rows["method"] == MODEL, rows["method"].isin(COPIES)
    told = rows["is_told_label"].astype(bool)
    values, places = rows[metric].to_numpy(), np.arange(len(rows))
    colors = np.where(ours, MODEL_COLOR, OTHER_COLOR)
    if f"{metric}_low" in rows:
        ends = (rows[f"{metric}_{end}"].to_numpy() for end in ("low", "high"))
        ax.hlines(places, *ends, color=colors, linewidth=1.2)
    dots = (
        ("this model", ours, 60, "D", MODEL_COLOR, MODEL_COLOR),
        ("baseline", ~(ours | copies | told), 32, "o", OTHER_COLOR, OTHER_COLOR),
        ("baseline,\ntold the label", told, 32, "o", "white", OTHER_COLOR),
        ("others' real samples,\nno perturbation", copies, 70, "X", OTHER_COLOR, "white"),
    )
    for name, chosen, area, marker, inside, edge in dots:
        if chosen.any():
            ax.scatter(
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
    ax.set_yticks(places, rows["method"], fontsize=8)
    for tick, is_ours in zip(ax.get_yticklabels(), ours, strict=True):
        if is_ours:
            tick.set(color=MODEL_COLOR, fontweight="bold")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="y", linewidth=0.4, color="lightgrey")
    ax.set_axisbelow(True)


def _draw_floor(ax: Axes, floor: pd.DataFrame, metric: str) -> None:
    """Real against real: a line, and a band for its interval."""
    value = floor[metric].iloc[0]
    if not np.isfinite(value):
        return
    ax.axvline(value, color=FLOOR_COLOR, linewidth=1.2, label="real target\n(the floor)")
    if f"{metric}_low" in floor:
        low, high = (floor[f"{metric}_{end}"].iloc[0] for end in ("low", "high"))
        if np.isfinite(low + high):
            ax.axvspan(low, high, color=FLOOR_COLOR, alpha=0.15, linewidth=0)


def _plain_ticks(ax: Axes) -> None:
    """Numbers as they are read, not powers of ten."""
    low, high = ax.get_xlim()
    ticks = [s * d * 10.0**e for s in (-1, 1) for e in range(-2, 3) for d in (1, 3)]
    shown = [t for t in (0.0, *ticks) if low <= t <= high and (t == 0 or abs(t) >= LINEAR_UP_TO)]
    ax.set_xticks(sorted(shown), [f"{tick:g}" for tick in sorted(shown)])
    ax.set_xticks([], minor=True)
    ax.set_xlim(low, high)
