"""scGen (Lotfollahi et al. 2019) as pertpy has it: `pip install "pertpy[scgen]"`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pertpy as pt
from answer import answer, as_array, is_target, is_train, to_perturb

if TYPE_CHECKING:
    import argparse

    import anndata as ad

# pertpy's tutorial of scGen, for the data of Kang et al.
TUTORIAL = {
    "max_epochs": 100,
    "batch_size": 32,
    "early_stopping": True,
    "early_stopping_patience": 25,
}


def predict(adata: ad.AnnData, options: argparse.Namespace) -> np.ndarray:
    """Classes other than the target are one condition; contexts are scGen's cell types."""
    adata.obs["condition"] = np.where(is_target(adata), "target", "other")
    labels = "context" if "context" in adata.obs else None
    train, asked = (adata[rows].copy() for rows in (is_train(adata), to_perturb(adata)))
    for part in (train, asked):
        pt.tl.Scgen.setup_anndata(part, batch_key="condition", labels_key=labels)
    model = pt.tl.Scgen(train)
    model.train(**TUTORIAL, seed=options.seed)
    predicted, _ = model.predict(ctrl_key="other", stim_key="target", adata_to_predict=asked)
    return as_array(predicted.X)


if __name__ == "__main__":
    settings = ", ".join(f"{name}={value}" for name, value in TUTORIAL.items())
    answer(predict, package="pertpy", settings=f"pertpy's tutorial: {settings}")
