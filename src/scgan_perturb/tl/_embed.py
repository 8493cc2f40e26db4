"""Originals and perturbed samples in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._checks import check_count
from .._keys import METHODS, TEST, TSPG, tspg_keys
from .._messages import check_choice, logger
from .._seeds import Rng, resolve_seed, spawn_seeds
from ..data._labels import read_labels
from ..get._model import checked_model
from ..get._perturbation import read_layer, read_samples, was_perturbed
from ..storage._arguments import copy_if_asked, leave_view
from ..storage._free_names import check_free, holds

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

N_COMPONENTS = 50  # principal components before t-SNE and UMAP, as scanpy takes
PERPLEXITY = 30.0


def embed(
    adata: AnnData,
    *,
    method: Literal["tsne", "umap", "pca"] = "tsne",
    n_perturbed: int = 100,
    n_classes: int = 10,
    rng: Rng = 0,
    key: str = TSPG,
    copy: bool = False,
) -> AnnData | None:
    """Embed originals and perturbed samples together (paper, section 2.3).

    Takes the samples of the target and of randomly chosen other classes, and randomly chosen
    perturbed samples of other classes than the target: held-out ones first, then others. The
    originals of these are left out where at least as many others remain. A sample and its perturbed
    self share most of their noise, so they are nearest neighbours: together they would be drawn
    between their classes, wherever the perturbed samples lie.

    Parameters
    ----------
    adata
        AnnData with a fit, its perturbed layer and its labels.
    method
        `"tsne"` or `"umap"` on 50 principal components, or `"pca"`.
    n_perturbed
        Number of perturbed samples, at most.
    n_classes
        Number of classes whose originals are shown, the target included, at most.
    rng
        Seed or generator; None for another choice each time.
    key
        Name of the fit.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.obsm['tspg_tsne' | f'{key}_{method}']` : :class:`numpy.ndarray` (dtype float32)
        Coordinates of the originals, samples × 2; NaN for samples that are not shown.
    `adata.obsm['tspg_tsne_xadv' | f'{key}_{method}_xadv']` : :class:`numpy.ndarray` (dtype float32)
        Coordinates of the perturbed samples, samples × 2; NaN for those that are not shown.
    `adata.uns['tspg_tsne' | f'{key}_{method}']` : :class:`dict`
        `params`.

    Raises
    ------
    KeyError
        If there is no such fit, layer or label column.
    ValueError
        If the method is none of the three, or there are fewer than two samples or genes.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_tspg(adata, "bulk_labels", "CD19+ B")
    >>> sp.tl.embed(adata, method="pca")
    >>> adata.obsm["tspg_pca"].shape
    (700, 2)
    """
    check_choice("method", method, METHODS)
    check_count("n_perturbed", n_perturbed)
    check_count("n_classes", n_classes)
    adata = copy_if_asked(adata, copy=copy)
    seed = resolve_seed(rng)
    model, keys = checked_model(adata, key, labels=True), tspg_keys(key)
    original_key, perturbed_key = keys.embedding(method)
    written = {"obsm": [original_key, perturbed_key]}
    check_free(adata, original_key, _is_embedding, written)
    read_layer(adata, key)  # raises where there is nothing to embed
    labels = read_labels(adata, model.params["groupby"])
    choice = np.random.default_rng(spawn_seeds(seed).embed)
    shown = _choose_originals(labels, model.target, n_classes, choice)
    held_out = (
        adata.obs[keys.split] == TEST if keys.split in adata.obs else np.zeros(adata.n_obs, bool)
    )
    candidates = (labels != model.target).to_numpy() & was_perturbed(adata, key)
    chosen = _choose_perturbed(candidates, np.asarray(held_out), n_perturbed, choice)
    if 2 * len(chosen) <= candidates.sum():
        shown = np.setdiff1d(shown, chosen)
    before = read_samples(adata, model, shown, key).before
    after = read_samples(adata, model, chosen, key).after
    coordinates = _project(
        model.scaler.transform(np.vstack([before, after])),
        method,
        spawn_seeds(seed).embed,
    )
    leave_view(adata)
    for name, rows, part in (
        (original_key, shown, coordinates[: len(shown)]),
        (perturbed_key, chosen, coordinates[len(shown) :]),
    ):
        adata.obsm[name] = np.full((adata.n_obs, 2), np.nan, dtype=np.float32)
        adata.obsm[name][rows] = part
    adata.uns[original_key] = {
        "params": {
            "method": method,
            "target": model.target,
            "n_perturbed": n_perturbed,
            "n_classes": n_classes,
            "seed": seed,
        }
    }
    logger.info(
        "Embedded %s originals of %d classes and %s perturbed samples (%s of them held out).\n"
        "    added: adata.obsm[%r], adata.obsm[%r], adata.uns[%r]",
        f"{len(shown):,}",
        labels.iloc[shown].nunique(),
        f"{len(chosen):,}",
        f"{np.asarray(held_out)[chosen].sum():,}",
        original_key,
        perturbed_key,
        original_key,
    )
    return adata if copy else None


def _is_embedding(stored: Any) -> bool:
    return holds(stored, "params") and holds(stored["params"], "n_perturbed")


def _choose_originals(
    labels: pd.Series, target: str, n_classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Positions of all samples of the target and of n_classes − 1 other classes."""
    others = rng.permutation([name for name in labels.unique() if name != target])
    return np.flatnonzero(labels.isin([target, *others[: n_classes - 1]]))


def _choose_perturbed(
    candidates: np.ndarray, held_out: np.ndarray, n_perturbed: int, rng: np.random.Generator
) -> np.ndarray:
    """Positions of n_perturbed candidates, held-out ones first."""
    groups = (candidates & held_out, candidates & ~held_out)
    ordered = np.concatenate([rng.permutation(np.flatnonzero(group)) for group in groups])
    return np.sort(ordered[:n_perturbed])


def _project(x: np.ndarray, method: str, seed: int) -> np.ndarray:
    """Samples × genes to samples × 2."""
    from sklearn.decomposition import PCA  # noqa: PLC0415 (slow to import)

    if min(x.shape) < 2:
        msg = (
            f"An embedding needs at least two genes and two samples, not {x.shape[1]} and {len(x)}."
        )
        raise ValueError(msg)
    n_components = 2 if method == "pca" else min(N_COMPONENTS, *x.shape)
    components = PCA(n_components, random_state=seed).fit_transform(x)
    if method == "pca":
        return components
    if method == "umap":
        import torch  # noqa: PLC0415 (slow to import)
        from umap import UMAP  # noqa: PLC0415 (slow to import)

        n_threads = torch.get_num_threads()
        try:
            return UMAP(random_state=seed, n_jobs=1).fit_transform(components)
        finally:
            torch.set_num_threads(n_threads)  # numba sets it for all that uses OpenMP
    from sklearn.manifold import TSNE  # noqa: PLC0415 (slow to import)

    perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
    return TSNE(perplexity=perplexity, random_state=seed).fit_transform(components)
