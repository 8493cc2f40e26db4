"""A classifier stored in an AnnData: written, and reused by fits that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._keys import (
    ACCURACY,
    CALIBRATION_ERROR,
    CLASSIFIER,
    TEST,
    TRAIN,
    VALIDATION_LOSS,
    classifier_keys,
)
from .._messages import unknown_name, warn
from ..engine._processes import gather_objects, part
from ..models._fitted_classifier import (
    FittedClassifier,
    classifier_from_parts,
    classifier_to_parts,
)
from ._arguments import leave_view
from ._file import store_results
from ._log import log_classifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from lightning_fabric import Fabric

    from .._keys import ClassifierKeys
    from ..data._blocks import Matrix
    from ..data._reader import Reader
    from ..data._training_data import TrainingData


def split_to_use(reader: Reader, key: str, held_out: float | str) -> float | str:
    """The column with the split of the classifier if it was fitted with the same `held_out`.

    All fits of a data set then have one split: no sample that the classifier trained on is held
    out.
    """
    adata = reader.adata
    if isinstance(held_out, str) or key not in adata.uns:
        return held_out
    split = classifier_keys(key).split
    params = _read(adata, key).params
    is_same = (
        params.get("groupby") == reader.groupby
        and params.get("held_out") == held_out
        and adata.uns[key].get("labels_digest") == reader.labels_digest
    )
    is_complete = split in adata.obs and adata.obs[split].isin([TRAIN, TEST]).all()
    return split if is_same and is_complete else held_out


def stored_classifier(
    data: TrainingData, key: str, params: Mapping[str, Any]
) -> FittedClassifier | None:
    """The classifier called `key`; None if the default one is missing or of other data.

    Raises
    ------
    KeyError
        If a classifier of another name is missing.
    ValueError
        If a classifier of another name is of other data.

    Warns
    -----
    UserWarning
        If the default classifier is of other data.
    """
    adata, is_default = data.reader.adata, key == CLASSIFIER
    if key not in adata.uns:
        if is_default:
            return None
        raise unknown_name("Classifier", key, adata.uns, "Fit one with sp.tl.fit_classifier.")
    fitted = _read(adata, key)
    difference = _difference(data, key, fitted, params)
    if difference is None:
        return fitted
    if not is_default:
        msg = (
            f"adata.uns[{key!r}] does not fit: {difference}. Call sp.tl.fit_classifier again on "
            "these data."
        )
        raise ValueError(msg)
    warn(f"adata.uns[{key!r}] does not fit ({difference}): a new classifier replaces it.")
    return None


def _read(adata: AnnData, key: str) -> FittedClassifier:
    try:
        return classifier_from_parts(adata.uns[key])
    except ValueError as error:
        msg = (
            f"adata.uns[{key!r}] is not a classifier of sp.tl.fit_classifier. Rename it, or fit one "
            f"with another key_added and name it in classifier=. {error}"
        )
        raise ValueError(msg) from error


def _difference(
    data: TrainingData, key: str, fitted: FittedClassifier, params: Mapping[str, Any]
) -> str | None:
    """How the data of a classifier differ from these data; None if they are the same."""
    for name, noun in (("groupby", "column"), ("layer", "layer")):
        if (before := fitted.params.get(name)) != params.get(name):
            return f"it was fitted on {noun} {before!r}, not {params.get(name)!r}"
    if not np.array_equal(fitted.classes, data.classes):
        return "it was fitted on other classes"
    if not np.array_equal(fitted.genes, data.genes):
        return f"it was fitted on other genes ({len(fitted.genes):,}, not {len(data.genes):,})"
    adata, split = data.reader.adata, classifier_keys(key).split
    same_split = split in adata.obs and np.array_equal(adata.obs[split] == TRAIN, data.is_train)
    stored = adata.uns[key]
    checks = {
        "with another split": same_split,
        "on other labels": stored.get("labels_digest") == data.reader.labels_digest,
        "on samples of other values": stored.get("expression_digest") == data.summary.digest,
    }
    return next((f"it was fitted {what}" for what, is_same in checks.items() if not is_same), None)


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
    """Write a classifier and its predictions, also to a writable file, and log them."""
    predicted = _predict(classifier, data, fabric)
    measured = _measured(history)
    leave_view(adata)
    adata.uns[keys.uns] = {
        **classifier_to_parts(classifier),
        "history": history,
        **measured,
        "labels_digest": data.reader.labels_digest,
        "expression_digest": data.summary.digest,
    }
    adata.obs[keys.split] = split_column(data.is_train)
    adata.obs[keys.predicted] = pd.Categorical.from_codes(predicted, data.classes)
    store_results(adata, data.expression, obs=[keys.split, keys.predicted], uns=[keys.uns])
    log_classifier(keys, data, predicted, classifier.params["groupby"], measured[CALIBRATION_ERROR])


def _measured(history: pd.DataFrame) -> dict[str, float]:
    """Held-out figures of the epoch whose weights are used: of the lowest validation loss."""
    epoch = history.index[-1]
    if VALIDATION_LOSS in history:
        epoch = history[VALIDATION_LOSS].idxmin()
    return {name: float(history.loc[epoch, name]) for name in (ACCURACY, CALIBRATION_ERROR)}


def _predict(classifier: FittedClassifier, data: TrainingData, fabric: Fabric) -> np.ndarray:
    """Positions of the predicted classes of all samples."""
    if data.expression.is_lazy:  # a Dask worker has its own device
        return data.expression.reduce(
            _predict_block, np.concatenate, fabric=fabric, classifier=classifier
        )
    rows = part(fabric, len(data.labels))
    local = classifier.predict(data.expression, rows=rows, accelerator=fabric.device)
    return np.concatenate(gather_objects(fabric, local))


def _predict_block(block: Matrix, classifier: FittedClassifier) -> np.ndarray:
    return classifier.predict(block)
