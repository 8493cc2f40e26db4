"""Fit the target model f."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._checks import check_count
from .._keys import CLASSIFIER, TEST, TRAIN, classifier_keys
from .._messages import logger
from .._recipes import BATCH_SIZE
from .._seeds import Rng, resolve_seed, spawn_seeds
from ..data._dask import DaskMatrix
from ..data._expression import find_expression
from ..data._training_data import labels_digest, read_training_data
from ..engine._processes import gather_objects, part
from ..models._fitted_classifier import FittedClassifier, classifier_to_parts
from ..storage._arguments import check_names, copy_if_asked, leave_view
from ..storage._file import check_writers, store_results

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from anndata import AnnData
    from lightning_fabric import Fabric

    from .._keys import ClassifierKeys
    from ..data._blocks import Matrix
    from ..data._training_data import TrainingData

MAX_EPOCHS = 50


def fit_classifier(
    adata: AnnData,
    groupby: str,
    *,
    layer: str | None = None,
    mask_var: str | None = None,
    held_out: float | str = 0.2,
    max_epochs: int = MAX_EPOCHS,
    batch_size: int = BATCH_SIZE,
    checkpoint: str | Path | None = None,
    fabric: Fabric | Mapping[str, Any] | None = None,
    rng: Rng = 0,
    key_added: str = CLASSIFIER,
    copy: bool = False,
) -> AnnData | None:
    """Fit the classifier f that a perturbation has to convince.

    Dense layers of 1024, 512 and 128 units, cross-entropy, Adam (paper, section 2.2), on
    expression scaled per gene to the range of the training samples.

    Parameters
    ----------
    adata
        Normalised expression, samples × genes; dense or sparse, in memory, in an h5ad file or zarr
        store, or a Dask array. Results go to the file as well if it is open for writing.
    groupby
        Column of `adata.obs` with the labels.
    layer
        Layer to read; None for `adata.X`.
    mask_var
        Boolean column of `adata.var` that marks the genes to use; None for all.
    held_out
        Share of each class kept out of training, or a column of `adata.obs` that says
        `"train"` or `"test"` for each sample.
    max_epochs
        Passes over the training samples.
    batch_size
        Samples a step, at most.
    checkpoint
        Folder to keep the state of training in, made if need be. The same call again goes on where
        the last one was stopped, even if it was killed, and ends with the same bits on a CPU; a
        state of other data or settings is refused. None for none.
    fabric
        What trains: a :class:`lightning_fabric.Fabric`, or a dict of its options `accelerator`,
        `precision`, `devices`, `num_nodes` and `strategy`, such as `{"devices": 4}`. None trains on
        one GPU where there is one. Unless given, `precision` is `"bf16-mixed"` on chips with
        instructions for it, `"32-true"` on others. Several processes give the result of one, up to
        rounding; the docs say how to start them on a cluster.
    rng
        Seed or generator; None for another result each time.
    key_added
        Name of the result.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.uns['classifier' | key_added]` : :class:`dict`
        `params`, `genes`, `classes`, `scale_min` and `scale_max` (range of each gene, input
        units), `weights`, `history`, a row an epoch, and digests of the labels and values that
        it was fitted on.
    `adata.obs['classifier_split' | f'{key_added}_split']` : :class:`pandas.Series` (category)
        Whether a sample trained (`train`) or was held out (`test`).
    `adata.obs['classifier_predicted' | f'{key_added}_predicted']` : :class:`pandas.Series` (category)
        The class that f gives each sample.

    Raises
    ------
    KeyError
        If a column, layer or mask is not there.
    ValueError
        If labels are missing or all the same, values are NaN or infinite, gene names repeat,
        no genes are left, or the checkpoint is damaged or of another fit.
    FloatingPointError
        If the loss becomes NaN or infinite.

    Examples
    --------
    >>> import scgan_perturb as sp
    >>> adata = sp.datasets.pbmc68k()
    >>> sp.tl.fit_classifier(adata, "bulk_labels", max_epochs=5)
    >>> adata.uns["classifier"]["history"].shape
    (5, 2)
    """
    keys = classifier_keys(key_added)
    check_names(key_added, groupby, written=(keys.split, keys.predicted), layer=layer)
    params = classifier_params(
        groupby=groupby,
        layer=layer,
        mask_var=mask_var,
        held_out=held_out,
        max_epochs=max_epochs,
        batch_size=batch_size,
        seed=resolve_seed(rng),
    )
    from ..engine._device import resolve_fabric  # noqa: PLC0415 (torch takes seconds)
    from ..training._fit_classifier import fit_classifier_on  # noqa: PLC0415

    fabric = resolve_fabric(fabric)
    params["seed"] = fabric.broadcast(params["seed"])
    adata = copy_if_asked(adata, copy=copy)
    check_writers(find_expression(adata, layer), fabric)
    data = read_training_data(
        adata,
        groupby,
        layer=layer,
        mask_var=mask_var,
        held_out=held_out,
        seed=spawn_seeds(params["seed"]).split,
        fabric=fabric,
    )
    classifier, history = fit_classifier_on(data, params, fabric, checkpoint)
    write_classifier(adata, keys, classifier, data, history, fabric)
    return adata if copy else None


def classifier_params(**params: Any) -> dict[str, Any]:
    """The parameters of a fit as they are stored: without those that are None."""
    check_count("max_epochs", params["max_epochs"])
    check_count("batch_size", params["batch_size"], least=2)
    return {name: value for name, value in params.items() if value is not None}


def split_column(is_train: np.ndarray) -> pd.Categorical:
    """The split as a column of obs."""
    return pd.Categorical.from_codes((~is_train).astype(np.int8), [TRAIN, TEST])


def write_classifier(
    adata: AnnData,
    keys: ClassifierKeys,
    classifier: FittedClassifier,
    data: TrainingData,
    history: pd.DataFrame,
    fabric: Fabric,
) -> None:
    """Write a classifier and what it predicts, to the file as well if that is open, and say so."""
    if isinstance(data.expression, DaskMatrix):
        predicted = data.expression.reduce(_predicted, np.concatenate, classifier=classifier)
    else:
        mine = part(fabric, len(data.labels))
        own = classifier.predict(data.expression, rows=mine, accelerator=fabric.device)
        predicted = np.concatenate(gather_objects(fabric, own))
    leave_view(adata)
    adata.uns[keys.uns] = {
        **classifier_to_parts(classifier),
        "history": history,
        "labels_digest": labels_digest(adata, classifier.params["groupby"]),
        "expression_digest": data.summary.digest,
    }
    adata.obs[keys.split] = split_column(data.is_train)
    adata.obs[keys.predicted] = pd.Categorical.from_codes(predicted, data.classes)
    store_results(adata, data.expression, obs=[keys.split, keys.predicted], uns=[keys.uns])
    held_out = ~data.is_train & (data.labels >= 0)
    logger.info(
        "Classifier of %s: %d classes, %s genes, right on %s.\n"
        "    added: adata.uns[%r], adata.obs[%r], adata.obs[%r]",
        classifier.params["groupby"],
        len(data.classes),
        f"{len(data.genes):,}",
        share(predicted[held_out] == data.labels[held_out], "held-out samples"),
        keys.uns,
        keys.split,
        keys.predicted,
    )


def _predicted(block: Matrix, classifier: FittedClassifier) -> np.ndarray:
    return classifier.predict(block)


def share(hits: np.ndarray, of: str) -> str:
    """How many of how many, for a log line."""
    if len(hits) == 0:
        return f"none of 0 {of}"
    return f"{100 * hits.mean():.1f} % of {len(hits):,} {of}"
