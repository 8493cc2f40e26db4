"""Draw the losses of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from .._keys import TSPG
from ..get import history as get_history
from ._layout import add_titles, size_inches
from ._show import finish

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from matplotlib.figure import Figure, SubFigure

TITLES = {
    "loss_discriminator": "Discriminator",
    "loss_generator": "Generator, all terms",
    "loss_gan": "Realism (GAN)",
    "loss_adv": "Target class (adversarial)",
    "loss_norm": "Size of perturbation (L2)",
    "loss_td": "Distance to target draws (L1)",
    "held_out_success": "Held-out samples called the target",
    "loss": "Cross-entropy",
    "validation_loss": "Cross-entropy, validation",
    "temperature": "Temperature",
    "held_out_accuracy": "Held-out accuracy",
    "held_out_calibration_error": "Held-out calibration error",
}
N_COLUMNS = 4
PANEL_INCHES = (2.6, 2.1)
NARROWEST_INCHES = 1.7
COLOR = "#0072b2"


def history(
    adata: AnnData,
    *,
    key: str = TSPG,
    figsize: tuple[float, float | None] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> np.ndarray | Figure | SubFigure | None:
    """Draw the losses and the held-out success of a fit by epoch, each in a panel.

    Parameters
    ----------
    adata
        AnnData with a fit.
    key
        Name of the fit of a generator or a classifier.
    figsize
        Width and height in inches, such as `(3.5, 4)`. With `(3.5, None)` the height follows the
        content; with None the width is the plot's default too.
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
        If there is no such fit.
    ValueError
        If `figsize` is not a size.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> axes = sp.pl.history(adata, show=False)
    """
    table = get_history(adata, key=key)
    n_columns = min(N_COLUMNS, table.shape[1])
    width, height = size_inches(figsize, PANEL_INCHES[0] * n_columns)
    n_columns = min(n_columns, max(int(width // NARROWEST_INCHES), 1))
    n_rows = -(-table.shape[1] // n_columns)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(width, height or PANEL_INCHES[1] * n_rows),
        layout="constrained",
        squeeze=False,
    )
    for ax, (name, values) in zip(axes.flat, table.items(), strict=False):
        ax.plot(
            table.index, values, color=COLOR, linewidth=1.2, marker="o" if len(table) == 1 else ""
        )
        ax.tick_params(labelsize=8)
        ax.ticklabel_format(useOffset=False)
        ax.yaxis.get_major_locator().set_params(nbins=5)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.spines[["top", "right"]].set_visible(False)
        if str(name).startswith("held_out"):
            ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel("epoch", fontsize=8)
    for ax in axes.flat[table.shape[1] :]:
        ax.remove()
    names = [str(name) for name in table]
    add_titles(list(axes.flat[: len(names)]), [TITLES.get(name, name) for name in names])
    return finish(figure, axes, show=show, return_fig=return_fig)
