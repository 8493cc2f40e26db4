from __future__ import annotations

import warnings

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scgan_perturb as sp

N_GENES = 18
METHODS = {  # told the label?
    "untouched source": False,
    "this model": False,
    "global mean shift": False,
    "linear Gaussian transport": False,
    "class mean shift": True,
    "diagonal Gaussian transport": True,
    "full Gaussian transport": True,
    "nearest target sample": False,
    "random target sample": False,
    "real target": False,
}


def long_name(i: int) -> str:
    return f"CD8α⁺ naïve-like T cell, tissue-resident, of the large intestine $n$ {i}"


def drawable(n_classes: int, name=long_name) -> ad.AnnData:
    """All that can be drawn. Numbers are made up, so that they are the same on every machine."""
    rng = np.random.default_rng(0)
    classes = [name(i) for i in range(n_classes)]
    labels = np.repeat(classes, 6)
    x = (rng.uniform(1, 4, (n_classes, N_GENES)).repeat(6, axis=0) + rng.random(N_GENES)).round(2)
    x += rng.normal(0, 0.3, x.shape).round(2)
    adata = ad.AnnData(
        x.clip(0).astype(np.float32),
        obs=pd.DataFrame(
            {"cell type": pd.Categorical(labels, classes)},
            index=[f"GTEX-S3XE-1226-SM-{i:04d}" for i in range(len(x))],
        ),
        var=pd.DataFrame(index=[f"ENSG{i:011d}.12" for i in range(N_GENES)]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit of one epoch is not good
        sp.tl.fit_classifier(adata, "cell type", max_epochs=1)
        sp.tl.fit_tspg(
            adata,
            "cell type",
            classes[0],
        )
    target = adata[adata.obs["cell type"] == classes[0]].X.mean(axis=0)
    adata.layers["xadv"] = (adata.X + 0.8 * (target - adata.X)).astype(np.float32)
    adata.uns["tspg"]["evaluation"] = _evaluation(rng, classes)
    history = adata.uns["tspg"]["history"]
    epochs = pd.Index(range(1, 41), name=history.index.name)
    falling = {c: 40 + np.exp(-epochs / (5 + i)) for i, c in enumerate(history)}
    adata.uns["tspg"]["history"] = pd.DataFrame(falling, index=epochs)
    for method in ("tsne", "umap", "pca"):
        centers = rng.normal(size=(n_classes, 2)).repeat(6, axis=0)
        points = (centers + rng.normal(0, 0.1, centers.shape)).astype(np.float32)
        adata.obsm[f"tspg_{method}"] = points
        perturbed = (centers[0] + rng.normal(0, 0.2, centers.shape)).astype(np.float32)
        perturbed[:6] = np.nan  # those of the target
        adata.obsm[f"tspg_{method}_xadv"] = perturbed
    sp.tl.rank_genes(adata)
    _add_contexts(rng, adata, classes)
    genes = list(adata.var_names)
    sets = {f"REGULATION_OF_{'A_VERY_LONG_PROCESS_' * 3}{i}": genes[i : i + 9] for i in range(20)}
    sp.tl.enrich(adata, sets, n_genes=12)
    return adata


def _add_contexts(rng: np.random.Generator, adata: ad.AnnData, contexts: list[str]) -> None:
    """Effects of which some are in all contexts, some in one; the last context never trained."""
    ranking, shape = adata.uns["tspg_rank_genes"], (len(contexts), N_GENES)
    effects = np.zeros(shape)
    effects[:, :6] = rng.uniform(0.2, 0.6, shape)[:, :6] * [1, 1, -1, 1, -1, 1]
    effects[::2, 6:11] = 0.4
    effects[np.arange(N_GENES - 11) % len(contexts), np.arange(11, N_GENES)] = -0.3
    effects += rng.normal(0, 0.03, shape).round(3)
    ranking["params"]["context"] = np.array(["cell type", "donor"], dtype=object)
    ranking["contexts"] = {
        "contexts": np.array(contexts, dtype=object),
        "names": adata.var_names.to_numpy(dtype=object),
        "n_samples": np.full(len(contexts), 6),
        "n_target": np.array([5] * (len(contexts) - 1) + [0]),
        **dict.fromkeys(("sds", "shares", "logfoldchanges"), np.zeros(shape)),
        "scores": effects.astype(np.float32),
    }


def _evaluation(rng: np.random.Generator, classes: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"method": list(METHODS), "is_told_label": list(METHODS.values())})
    table = table.assign(target=classes[0], context="all", source="all", n_samples=20)
    for metric in ("e_distance", "mmd", "mean_r2", "variance_r2"):
        table[metric] = np.geomspace(7, 0.05, len(table)).round(3)
        table[f"{metric}_low"] = table[metric] * 0.8 - 0.05
        table[f"{metric}_high"] = table[metric] * 1.2
    for metric in ("success", "individuality", "perturbation"):
        table[metric] = rng.random(len(table)).round(3)
    for test in ("auc_random_forest", "auc_logistic_regression"):
        table[test] = np.linspace(1, 0.52, len(table)).round(3)
        table[f"{test}_low"] = table[test] * 0.9
        table[f"{test}_high"] = (table[test] * 1.1).clip(upper=1)
    table = table.assign(detected_genes=0.9, zeros=-0.3, n_detected_genes=100)
    table = table.assign(distinct_values=0.95, distinct_share=0.4)
    one = table.assign(source=classes[-1])
    return pd.concat([table, one], ignore_index=True)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def drawn_from():
    """The data of so many classes, made once."""
    made = {}
    bar, sp.settings.progress_bar = sp.settings.progress_bar, False

    def get(n_classes: int) -> ad.AnnData:
        if n_classes not in made:
            made[n_classes] = drawable(n_classes)
        return made[n_classes]

    yield get
    sp.settings.progress_bar = bar
