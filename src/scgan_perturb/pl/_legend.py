"""Legends beside the axes if there is room, else in columns below them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._layout import LINE, POINTS_PER_INCH, text_inches, wrap
from ._show import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

FONTSIZES = (7.0, 6.0, 5.0)  # the largest that fits is used
MARKER_INCHES = 0.4  # of an entry, beside its text
BESIDE_INCHES = 2.0  # widest text in a legend beside the axes
COLUMN_INCHES = 2.2  # widest text in a column below them
NARROWEST_INCHES = 1.0  # shorter lines are hard to read
GAP = 0.5  # between entries, in font sizes
SHARE_BELOW = 0.6  # largest share of the figure's height


@dataclass(frozen=True)
class LegendPlan:
    """Size and place of a legend, planned before the figure is made."""

    labels: dict[str, str]  # each label and its text in the legend
    fontsize: float
    inches: float  # height
    n_columns: int = 0  # 0: beside the axes

    @property
    def inches_below(self) -> float:
        """The height that the legend adds to the figure."""
        return self.inches if self.n_columns else 0

    def draw(self, ax: Axes, handles: Mapping[str, Artist], **options: Any) -> None:
        """Draw the legend of the labels that have a handle."""
        entries = [(handle, self.labels[label]) for label, handle in handles.items()]
        common = {"frameon": False, "fontsize": self.fontsize, "labelspacing": GAP, **options}
        if self.n_columns:
            ax.figure.legend(
                *zip(*entries, strict=True),
                loc="outside lower center",
                ncols=self.n_columns,
                **common,
            )
        else:
            ax.legend(
                *zip(*entries, strict=True), loc="upper left", bbox_to_anchor=(1, 1), **common
            )


def plan_legend(
    labels: Sequence[str],
    *,
    axes: Axes | None,
    width: float,
    height: float,
    room: float,
    grows: bool,
) -> LegendPlan:
    """Plan a legend beside the axes if they keep `room` inches of `width` and the entries fit `height`.

    Otherwise plan it below them, where it may be high if the figure `grows`. On the user's axes the
    legend is always beside.
    """
    inches = BESIDE_INCHES if axes else min(width - room - MARKER_INCHES, BESIDE_INCHES)
    if inches >= NARROWEST_INCHES:
        for fontsize in FONTSIZES:
            plan = _plan(labels, inches, fontsize, 1)
            if plan.inches <= height:
                return LegendPlan(plan.labels, fontsize, plan.inches)
        if axes:
            return LegendPlan(plan.labels, fontsize, plan.inches)
    for fontsize in FONTSIZES:
        longest = max(text_inches(label, fontsize) for label in labels)
        column = MARKER_INCHES + min(longest, COLUMN_INCHES)
        n_columns = min(max(int(width // column), 1), len(labels))
        plan = _plan(labels, width / n_columns - MARKER_INCHES, fontsize, n_columns)
        if plan.inches <= (height if grows else SHARE_BELOW * height):
            break
    return plan


def _plan(labels: Sequence[str], inches: float, fontsize: float, n_columns: int) -> LegendPlan:
    lines = [wrap(label, inches, fontsize) for label in labels]
    n_rows = -(-len(labels) // n_columns)
    sizes = [LINE * len(entry) + GAP for entry in lines]
    tallest = max(sum(sizes[i : i + n_rows]) for i in range(0, len(sizes), n_rows))
    drawn = {label: plain("\n".join(entry)) for label, entry in zip(labels, lines, strict=True)}
    return LegendPlan(drawn, fontsize, tallest * fontsize / POINTS_PER_INCH + 0.1, n_columns)
