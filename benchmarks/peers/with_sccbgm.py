"""scCBGM, from github.com/almaan/scCBGM (its package is conceptlab).

Remove the broken links `.#*` from a copy and `pip install --no-deps` that. It imports torch,
pytorch-lightning, wandb, hydra-core, xarray, pot, plotly, paretoset, python-louvain and seaborn,
and pertpy with statsmodels below 0.15.

Its API with the settings and the principal components of the authors' own benchmark: `fm_config`'s
`model/cbm.yaml`, without flow matching, which the API does not have. With the API's defaults it
does not learn the target's concept (pbmc, B: 0.15 in training cells of the target, 0.07 in others).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import conceptlab.api as cb
import numpy as np
import pandas as pd
import torch
from answer import answer, as_array, is_target, is_train, to_perturb
from sklearn.decomposition import PCA

if TYPE_CHECKING:
    import argparse

CONCEPTS = "concepts"
COMPONENTS = 128
EPOCHS, BATCH = 200, 128
MODEL = {
    "lr": 3e-4,
    "n_layers": 4,
    "hidden_dim": 1024,
    "beta": 1e-5,
    "latent_dim": 128,
    "concepts_hp": 0.1,
    "orthogonality_hp": 0.5,
}


def predict(adata: ad.AnnData, options: argparse.Namespace) -> np.ndarray:
    """Being of the target is a concept, and so is each context; the first one is changed."""
    torch.manual_seed(options.seed)
    train = is_train(adata)
    x = as_array(adata.X).astype(np.float32)
    size = min(COMPONENTS, *(size - 1 for size in x[train].shape))
    pca = PCA(size, random_state=options.seed).fit(x[train])
    codes = ad.AnnData(pca.transform(x), obs=adata.obs[[]], obsm={CONCEPTS: concepts(adata)})
    model = cb.models.scCBGM(**MODEL)
    model.fit(codes[train].copy(), CONCEPTS, n_epochs=EPOCHS, batch_size=BATCH)
    asked = codes[to_perturb(adata)].copy()
    changed = cb.pp.concepts.intervene_on_concepts(asked, CONCEPTS, overrides={"target": 1.0})
    return pca.inverse_transform(model.intervene(asked, changed))


def concepts(adata: ad.AnnData) -> pd.DataFrame:
    """Samples × concepts, 0 or 1 (its `curate_concepts` fails where a column has three values)."""
    found = pd.DataFrame({"target": is_target(adata)}, index=adata.obs_names)
    if "context" in adata.obs:
        found = found.join(pd.get_dummies(adata.obs["context"], prefix="context"))
    return found.astype(float)


if __name__ == "__main__":
    settings = (
        f"the authors' fm_config/model/cbm.yaml: {COMPONENTS} components, {EPOCHS} epochs in "
        f"batches of {BATCH}, " + ", ".join(f"{name}={value}" for name, value in MODEL.items())
    )
    answer(predict, package="conceptlab", settings=settings)
