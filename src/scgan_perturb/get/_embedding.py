"""Coordinates that tl.embed computed, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._keys import TSPG, tspg_keys
from .._messages import unknown_name
from ..data._labels import read_labels
from ._model import model as get_model
from ._perturbation import ORIGINAL, PERTURBED
from ._stored import check_target

if TYPE_CHECKING:
    from anndata import AnnData


def embedding(adata: AnnData, method: str = "tsne", *, key: str = TSPG) -> pd.DataFrame:
    """Coordinates of the originals and perturbed samples that were embedded.

    Parameters
    ----------
    adata
        AnnData that :func:`~scgan_perturb.tl.embed` wrote to.
    method
        `"tsne"`, `"umap"` or `"pca"`.
    key
        Name of the fit.

    Returns
    -------
    DataFrame with one row per point: `x`, `y`, `label` (of the original sample), `state` (`original` or
    `perturbed`); the index holds the samples' names.

    Raises
    ------
    KeyError
        If there is no such fit or embedding.
    ValueError
        If the embedding is damaged, or has another target than the layer.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.embed(adata, method="pca", n_perturbed=50)
    >>> sp.get.embedding(adata, "pca")["state"].value_counts().to_dict()
    {'original': 650, 'perturbed': 50}
    """
    model = get_model(adata, key=key)
    labels = read_labels(adata, model.params["groupby"])
    stored = adata.uns.get(tspg_keys(key).embedding(method)[0])
    params = stored.get("params") if isinstance(stored, Mapping) else None
    call = f"sp.tl.embed(adata, method={method!r})"
    check_target(adata, key, params, f"The {method} in adata.obsm", call)
    tables = []
    for name, state in zip(tspg_keys(key).embedding(method), (ORIGINAL, PERTURBED), strict=True):
        if name not in adata.obsm:
            remedy = f"Call sp.tl.embed(adata, method={method!r}) first."
            raise unknown_name("Embedding", name, adata.obsm.keys(), remedy)
        points = np.asarray(adata.obsm[name])
        if points.shape != (adata.n_obs, 2):
            msg = (
                f"adata.obsm[{name!r}] is damaged: it is of shape {points.shape}, not samples × 2."
            )
            raise ValueError(msg)
        table = pd.DataFrame(points, index=adata.obs_names, columns=["x", "y"])
        tables.append(table.assign(label=labels, state=state).dropna(subset=["x", "y"]))
    both = pd.concat(tables)
    return both.assign(state=pd.Categorical(both["state"], [ORIGINAL, PERTURBED]))
