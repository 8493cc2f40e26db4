"""Originals and perturbed samples in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import scanpy as sc

from .._keys import TSPG
from ..get import embedding as get_embedding
from ..get import model as get_model
from ._show import finish, plain

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SIZE_INCHES = (6.2, 4.2)
TITLES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PC"}


def tsne(
    adata: AnnData,
    *,
    key: str = TSPG,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | SubFigure | None:
    """Draw the t-SNE of originals, coloured by class, and perturbed samples, black crosses.

    Colours are those of `adata.uns[f"{groupby}_colors"]`, else scanpy's.

    Parameters
    ----------
    adata
        AnnData that `sp.tl.embed(adata, method="tsne")` wrote to.
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
        If there is no such fit or embedding.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", max_epochs=2)
    >>> sp.tl.embed(adata)
    >>> ax = sp.pl.tsne(adata, show=False)
    """
    return _draw(adata, "tsne", key=key, ax=ax, show=show, return_fig=return_fig)


def umap(
    adata: AnnData,
    *,
    key: str = TSPG,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | SubFigure | None:
    """Draw the UMAP of originals and perturbed samples; see :func:`tsne`.

    Parameters
    ----------
    adata
        AnnData that `sp.tl.embed(adata, method="umap")` wrote to.
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
        If there is no such fit or embedding.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", max_epochs=2)
    >>> sp.tl.embed(adata, method="umap")
    >>> ax = sp.pl.umap(adata, show=False)
    """
    return _draw(adata, "umap", key=key, ax=ax, show=show, return_fig=return_fig)


def pca(
    adata: AnnData,
    *,
    key: str = TSPG,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | SubFigure | None:
    """Draw two principal components of originals and perturbed samples; see :func:`tsne`.

    Parameters
    ----------
    adata
        AnnData that `sp.tl.embed(adata, method="pca")` wrote to.
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
        If there is no such fit or embedding.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B", max_epochs=2)
    >>> sp.tl.embed(adata, method="pca")
    >>> ax = sp.pl.pca(adata, show=False)
    """
    return _draw(adata, "pca", key=key, ax=ax, show=show, return_fig=return_fig)


def _draw(
    adata: AnnData,
    method: str,
    *,
    key: str,
    ax: Axes | None,
    show: bool | None,
    return_fig: bool,
) -> Axes | Figure | SubFigure | None:
    table = get_embedding(adata, method, key=key)
    params = get_model(adata, key=key).params
    if ax is None:
        _, ax = plt.subplots(figsize=SIZE_INCHES, layout="constrained")
    originals = table[table["state"] == "original"]
    for label, color in class_colors(adata, params["groupby"], table["label"]).items():
        points = originals[originals["label"] == label]
        if len(points):
            ax.scatter(
                points["x"], points["y"], s=12, color=color, linewidths=0, label=plain(label)
            )
    perturbed = table[table["state"] == "perturbed"]
    ax.scatter(
        perturbed["x"],
        perturbed["y"],
        s=20,
        color="black",
        marker="x",
        linewidths=0.8,
        label=f"perturbed to\n{plain(params['target'])}",
    )
    ax.set(xlabel=f"{TITLES[method]} 1", ylabel=f"{TITLES[method]} 2", xticks=[], yticks=[])
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    return finish(ax.figure, ax, show=show, return_fig=return_fig)


def class_colors(adata: AnnData, groupby: str, labels: pd.Series) -> dict[str, str]:
    """The colour of each class: the user's own from `uns`, else scanpy's default palette."""
    classes = [str(name) for name in labels.cat.categories]
    own = adata.uns.get(f"{groupby}_colors")
    if own is not None and hasattr(adata.obs[groupby], "cat"):
        categories = [str(name) for name in adata.obs[groupby].cat.categories]
        if len(own) >= len(categories):
            return {
                c: str(color) for c, color in zip(categories, own, strict=False) if c in classes
            }
    palettes = sc.pl.palettes
    for palette in (palettes.default_20, palettes.default_28, palettes.default_102):
        if len(classes) <= len(palette):
            return dict(zip(classes, palette, strict=False))
    return dict.fromkeys(classes, "grey")
