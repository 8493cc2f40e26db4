"""Parts of an HTML page that needs no other file. All text from outside is escaped here."""

from __future__ import annotations

import html
import io
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

if TYPE_CHECKING:
    from collections.abc import Mapping

DPI = 150
CSS_PIXELS_PER_INCH = 96
WIDTH, HEIGHT, MARGIN = 640, 460, 10  # of a drawing of points, in its units
# Radius of a point if there are at most so many; what is drawn beyond MOST_POINTS only fills the file.
RADII = {500: 4.0, 5_000: 2.6, 20_000: 1.7}
MOST_POINTS = 20_000
# The browser itself refuses whatever is not in the file.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff }
body { max-width: 76rem; margin: auto; padding: 1rem }
h1, h2, h3, p, li, dd { overflow-wrap: anywhere }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc }
nav a { margin-right: 1rem }
p, li, dd { max-width: 46rem }
img { max-width: 100%; height: auto }
code { background: #f2f2f2; padding: 0 .2em; overflow-wrap: anywhere }
.verdict { border-left: .4rem solid #0072b2; padding: .1rem 1rem; background: #f2f7fb }
.verdict.bad { border-color: #d55e00; background: #fdf4ee }
.missing { border-left: .4rem solid #bbb; padding: .5rem 1rem; background: #f6f6f6 }
.row { display: flex; flex-wrap: wrap; gap: 1rem }
.points { flex: 1 1 26rem; max-width: 46rem; min-width: 0 }
.points svg { width: 100%; border: 1px solid #ccc }
.points output { display: block; min-height: 1.5em }
.legend { list-style: none; padding: 0; margin: 0; flex: 1 1 12rem; font-size: .9rem }
.legend svg { width: .8em; height: .8em; margin-right: .5em }
.scroll { overflow: auto; max-height: 40rem; margin: .5rem 0 }
table { border-collapse: collapse; font-size: .875rem }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid #e2e2e2; vertical-align: top }
td { min-width: 3rem; max-width: 28rem; overflow-wrap: break-word }
thead th { position: sticky; top: 0; background: #fff; vertical-align: bottom }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td:first-child { min-width: 8rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem }
dd { margin: 0 }
th button { font: inherit; font-weight: bold; border: 0; padding: 0; background: none; cursor: pointer;
  text-align: left }
th[aria-sort=ascending] button::after { content: " ▲" }
th[aria-sort=descending] button::after { content: " ▼" }
tr.chosen { background: #fdf4ee; font-weight: bold }
"""
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  heads.forEach((head, column) => head.querySelector("button").onclick = () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const text = row => row.cells[column].textContent;
    const value = row => head.className === "number" ? parseFloat(text(row)) : text(row);
    const empty = row => text(row) === "";
    rows.sort((a, b) => empty(a) - empty(b) ||
      sign * (head.className === "number" ? value(a) - value(b) : value(a).localeCompare(value(b))));
    table.tBodies[0].append(...rows);
  });
  const filter = table.closest(".table").querySelector("input");
  filter.oninput = () => rows.forEach(row =>
    row.hidden = !row.textContent.toLowerCase().includes(filter.value.toLowerCase()));
}
for (const points of document.querySelectorAll(".points")) {
  points.onpointerover = event => {
    const title = event.target.querySelector?.(":scope > title");
    if (title) points.querySelector("output").textContent = title.textContent;
  };
}
"""


def escape(value: object) -> str:
    """Text that is safe inside elements and attributes."""
    return html.escape(str(value))


def page(title: str, body: str) -> str:
    """A whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def image(figure: Any, description: str) -> str:
    """A matplotlib figure as an image in the page. The figure is closed."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    plt.close(figure)
    encoded = b64encode(content.getvalue()).decode("ascii")
    width = round(figure.get_figwidth() * CSS_PIXELS_PER_INCH)
    return (
        f'<img src="data:image/png;base64,{encoded}" width="{width}" alt="{escape(description)}">'
    )


def number(value: Any, digits: int = 3) -> str:
    """A number with so many digits, empty if missing; a script can read it."""
    if pd.isna(value):
        return ""
    if isinstance(value, (int, np.integer)) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def table(frame: pd.DataFrame, *, chosen: str | None = None) -> str:
    """A table that the reader can sort and filter.

    Texts in columns of numbers, such as `0.7 (0.6 to 0.8)`, are sorted by their first number; name
    these columns in `frame.attrs["numbers"]`. The row that begins with `chosen` is emphasised.
    """
    numeric = {
        name: name in frame.attrs.get("numbers", ())
        or (pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))
        for name, column in frame.items()
    }
    heads = "".join(
        f'<th{_number_class(numeric[name])}><button type="button">{escape(name)}</button></th>'
        for name in frame
    )
    rows = []
    for row in frame.itertuples(index=False, name=None):
        cells = "".join(
            f"<td{_number_class(is_number)}>{_cell(value)}</td>"
            for value, is_number in zip(row, numeric.values(), strict=True)
        )
        look = ' class="chosen"' if chosen is not None and row[0] == chosen else ""
        rows.append(f"<tr{look}>{cells}</tr>")
    return (
        '<div class="table"><input type="search" placeholder="Filter rows" aria-label="Filter rows">'
        f'<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div></div>"
    )


def _number_class(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _cell(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else ""
    return number(value) if isinstance(value, (int, float, np.number)) else escape(value)


def definitions(items: Mapping[str, object]) -> str:
    """Terms and what they mean or hold."""
    return (
        "<dl>"
        + "".join(
            f"<dt><b>{escape(name)}</b></dt><dd>{escape(text)}</dd>" for name, text in items.items()
        )
        + "</dl>"
    )


def points(frame: pd.DataFrame, colors: Mapping[str, Any]) -> str:
    """Named points by their columns `x`, `y` and `kind`, with a legend in the order of `colors`.

    The index holds the names; a point shows its name and kind where the pointer is over it. Kinds
    without a colour are black crosses.
    """
    drawn = frame if len(frame) <= MOST_POINTS else frame.sample(MOST_POINTS, random_state=0)
    radius = next(radius for most, radius in RADII.items() if len(drawn) <= most)
    x = _fit(drawn["x"], frame["x"], WIDTH)
    y = HEIGHT - _fit(drawn["y"], frame["y"], HEIGHT)
    groups, legend = [], []
    for kind in dict.fromkeys([*colors, *frame["kind"]]):
        rows = np.flatnonzero(drawn["kind"] == kind)
        color = to_hex(colors[kind]) if kind in colors else None
        marks = "\n".join(
            f"{_mark(x[i], y[i], radius, color)}<title>{escape(f'{drawn.index[i]}: {kind}')}"
            f"</title></{'circle' if color else 'path'}>"
            for i in rows
        )
        groups.append(f"<g {_look(color)}>\n{marks}\n</g>")
        sample = f"{_mark(5, 5, 4, color)}</{'circle' if color else 'path'}>"
        legend.append(
            f'<li><svg viewBox="0 0 10 10" {_look(color)}>{sample}</svg>{escape(kind)}</li>'
        )
    left_out = len(frame) - len(drawn)
    note = f"<p>{len(drawn):,} of {len(frame):,} points, chosen at random.</p>" if left_out else ""
    return (
        f'<div class="row"><div class="points"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        + "\n".join(groups)
        + f"\n</svg><output>Point at a sample to see its name.</output>{note}</div>"
        f'<ul class="legend">{"".join(legend)}</ul></div>'
    )


def _fit(values: pd.Series, of_all: pd.Series, size: int) -> np.ndarray:
    """Values as coordinates between the margins."""
    low, high = of_all.min(), of_all.max()
    return MARGIN + (values.to_numpy() - low) / ((high - low) or 1) * (size - 2 * MARGIN)


def _look(color: str | None) -> str:
    return f'fill="{color}"' if color else 'fill="none" stroke="#000"'


def _mark(x: float, y: float, radius: float, color: str | None) -> str:
    """The start of a dot, or of a cross if there is no colour."""
    if color:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}">'
    d = 2 * radius
    return f'<path d="M{x - radius:.1f} {y - radius:.1f}l{d} {d}m0 -{d}l-{d} {d}">'
