"""Show or return a figure, as scanpy does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

Drawn = TypeVar("Drawn")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # all but the end of a line


def finish(
    figure: Figure | SubFigure, drawn: Drawn, *, show: bool | None, return_fig: bool
) -> Drawn | Figure | SubFigure | None:
    """Return the figure, show it, or return the axes `drawn`; `show=None` follows scanpy's setting."""
    if return_fig:
        return figure
    import scanpy as sc  # noqa: PLC0415 (takes a second)

    if sc.settings.autoshow if show is None else show:
        plt.show()
        return None
    return drawn


def clean(text: object) -> str:
    """Text with spaces for tabs and other control characters, which fonts have no glyph for."""
    return CONTROL.sub(" ", str(text))


def plain(text: object) -> str:
    """Text that matplotlib draws unchanged: `$` starts no formula, `_` does not hide a legend entry."""
    escaped = clean(text).replace("$", r"\$")
    return "\N{ZERO WIDTH SPACE}" + escaped if escaped.startswith("_") else escaped
