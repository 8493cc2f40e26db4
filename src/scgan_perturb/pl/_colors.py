"""Colours that are visible in any style: between those of its text and of its background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb, to_rgba

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Color = tuple[float, float, float]

FAINT = 0.17  # of lines behind the marks; on white, light grey


def background(ax: Axes) -> Color:
    """The colour behind the marks: of the axes, or of the figure if these are transparent."""
    faces = (ax.get_facecolor(), ax.figure.get_facecolor(), mpl.rcParams["figure.facecolor"])
    return to_rgb(next((face for face in faces if to_rgba(face)[3] > 0), "white"))


def ink(ax: Axes, share: float = 1) -> Color:
    """The colour of the text, mixed with the background where the share is below 1."""
    text, behind = np.array(to_rgb(ax.title.get_color())), np.array(background(ax))
    red, green, blue = behind + share * (text - behind)
    return float(red), float(green), float(blue)
