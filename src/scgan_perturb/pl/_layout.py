"""Sizes in inches, text wrapped into lines, labels no larger than their rows."""

from __future__ import annotations

import textwrap
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from ._show import clean, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

TITLE_FONTSIZE, AXIS_FONTSIZE, ROW_FONTSIZE = 9, 8, 7
POINTS_PER_INCH = 72
LINE = 1.25  # height of a line of text, in font sizes
HINTING = 1.04  # text on a screen is at most this much wider than its outline
FEWEST_CHARACTERS = 8  # of a line, however narrow the room
DIRECTION_COLORS = {"up": "#b2182b", "down": "#2166ac"}  # the ends of the heatmaps' colours


def size_inches(
    figsize: tuple[float, float | None] | None, width: float
) -> tuple[float, float | None]:
    """The width and height in `figsize`; `width` and None if it is None."""
    if figsize is None:
        return width, None
    try:
        wide, high = figsize
        good = wide > 0 and (high is None or high > 0)
    except (TypeError, ValueError):
        good = False
    if not good:
        msg = (
            "figsize must be the width and height in inches, such as (3.5, 4), or (3.5, None) for "
            f"a height that follows the content, not {figsize!r}."
        )
        raise ValueError(msg)
    return wide, high


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    """The user's axes, or the axes of a new figure."""
    if ax is not None:
        return ax
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def lay_out(figure: Figure | SubFigure) -> None:
    """Place the axes of a figure where they will be drawn."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with _no_warning_of_glyphs():
            engine.execute(figure.figure)


@contextmanager
def _no_warning_of_glyphs() -> Iterator[None]:
    """While text is measured: matplotlib warns of missing glyphs when it draws the figure."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)Glyph \d+ .* missing from font")
        yield


def extent_inches(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes at their present place."""
    extent = ax.get_window_extent()
    return extent.width / ax.figure.dpi, extent.height / ax.figure.dpi


def text_inches(text: str, fontsize: float) -> float:
    """Upper limit of the width of the widest line of a text."""
    rc = mpl.rcParams
    style = rc["font.family"], rc["font.style"], rc["font.weight"], rc["font.stretch"]
    fonts = str((style, rc["font.serif"], rc["font.sans-serif"], rc["font.monospace"]))
    widths = (sum(_advance(c, fonts) for c in line) for line in clean(text).split("\n"))
    return HINTING * max(widths) * fontsize / POINTS_PER_INCH


@cache
def _advance(character: str, fonts: str) -> float:  # noqa: ARG001 (a key of the cache)
    """Width of a character and the gap after it, in font sizes, in the font that matplotlib takes."""
    font = FontProperties(size=1)
    with _no_warning_of_glyphs():
        edges, text = (
            text_to_path.get_text_width_height_descent(f"|{inside}|", font, ismath=False)[0]
            for inside in ("", 10 * character)
        )
    return float(text - edges) / 10


def wrap(text: str, inches: float, fontsize: float, *, max_lines: int | None = None) -> list[str]:
    """Text in as few lines as fit into `inches`, all of about the same length.

    A text of more than `max_lines` loses its middle, as names often differ at their ends.
    """
    text = clean(text)
    if "\n" in text:
        return [line for part in text.split("\n") for line in wrap(part, inches, fontsize)]
    width = text_inches(text, fontsize)
    if width <= inches:
        return [text]
    characters = max(int(len(text) * inches / width) + 3, FEWEST_CHARACTERS)
    lines = _filled(text, characters)
    while characters > FEWEST_CHARACTERS:
        fewer = _filled(text, characters - 1)
        fits = max(text_inches(line, fontsize) for line in lines) <= inches
        if fits and (len(fewer) > len(lines) or len(lines) > (max_lines or len(lines))):
            break
        characters, lines = characters - 1, fewer
    if max_lines is not None and len(lines) > max_lines:
        end = text[2 - characters :]
        while len(end) > FEWEST_CHARACTERS and text_inches(f"… {end}", fontsize) > inches:
            end = end[1:]
        lines = [*lines[: max_lines - 1], f"… {end.partition(' ')[2] or end}"]
    return lines


def _filled(text: str, characters: int) -> list[str]:
    return textwrap.wrap(text, characters) or [""]  # mere spaces have no line at all


def label_axes(ax: Axes, *, title: str, xlabel: str, rows: Sequence[str]) -> None:
    """Write title, axis label and row names. No text is wider than its room or higher than its row."""
    ax.set_yticks(range(len(rows)), rows, fontsize=ROW_FONTSIZE)
    lay_out(ax.figure)
    lines = wrap(xlabel, extent_inches(ax)[0], AXIS_FONTSIZE)
    ax.set_xlabel("\n".join(lines), fontsize=AXIS_FONTSIZE)
    ax.tick_params(axis="x", labelsize=AXIS_FONTSIZE)
    add_titles([ax], [title])
    lay_out(ax.figure)
    n_lines = len(rows) * max((row.count("\n") + 1 for row in rows), default=1)
    room = extent_inches(ax)[1] * POINTS_PER_INCH
    ax.tick_params(axis="y", labelsize=min(ROW_FONTSIZE, room / max(n_lines, 1) / LINE))


def add_titles(axes: Sequence[Axes], titles: Sequence[str]) -> None:
    """Write titles over the axes; a long one also extends over the axes' labels."""
    lay_out(axes[0].figure)
    for ax, text in zip(axes, titles, strict=True):
        ax.set_title("")  # measured without the earlier title
        inner, center = ax.get_window_extent(), 0.5
        lines = wrap(text, inner.width / ax.figure.dpi, TITLE_FONTSIZE)
        with _no_warning_of_glyphs():
            outer = ax.get_tightbbox() if len(lines) > len(text.split("\n")) else None
        if outer:
            lines = wrap(text, outer.width / ax.figure.dpi, TITLE_FONTSIZE)
            center = ((outer.x0 + outer.x1) / 2 - inner.x0) / inner.width
        ax.set_title(plain("\n".join(lines)), fontsize=TITLE_FONTSIZE, x=center)
