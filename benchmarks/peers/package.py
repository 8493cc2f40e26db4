"""This package: `sp.tl.fit_tspg` with its defaults, contexts given where samples have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from answer import answer, as_array, to_perturb

import scgan_perturb as sp

if TYPE_CHECKING:
    import argparse

    import anndata as ad
    import numpy as np


def predict(adata: ad.AnnData, options: argparse.Namespace) -> np.ndarray:
    target = adata.uns["target"]
    sources = [name for name in adata.obs["condition"].cat.categories if name != target]
    context = "context" if "context" in adata.obs else None
    return fit(adata, source=sources, context=context, rng=options.seed)


def fit(adata: ad.AnnData, **options: object) -> np.ndarray:
    """The samples to perturb, by a fit with these options."""
    sp.settings.progress_bar = False
    sp.tl.fit_tspg(adata, "condition", adata.uns["target"], held_out="split", **options)
    return as_array(adata.layers["xadv"][to_perturb(adata)])


if __name__ == "__main__":
    answer(predict, package="scgan_perturb", settings="defaults; context= where there are contexts")
