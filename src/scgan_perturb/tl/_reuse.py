"""Whether a classifier that is there can serve a new fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._keys import CLASSIFIER, TEST, TRAIN, classifier_keys
from .._messages import unknown_name, warn
from .._recipes import BATCH_SIZE
from ..data._training_data import labels_digest
from ..models._fitted_classifier import classifier_from_parts
from ._classifier import MAX_EPOCHS, classifier_params

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from lightning_fabric import Fabric

    from ..data._training_data import TrainingData
    from ..models._fitted_classifier import FittedClassifier


def held_out_to_use(adata: AnnData, key: str, groupby: str, held_out: float | str) -> float | str:
    """The split to use: that of the classifier if it was fitted with the same share.

    One split for all fits of a data set keeps samples that the classifier has seen from being
    reported as held out.
    """
    if isinstance(held_out, str) or key not in adata.uns:
        return held_out
    split = classifier_keys(key).split
    params = _read(adata, key).params
    same = (
        params.get("groupby") == groupby
        and params.get("held_out") == held_out
        and adata.uns[key].get("labels_digest") == labels_digest(adata, groupby)
    )
    whole = split in adata.obs and adata.obs[split].isin([TRAIN, TEST]).all()
    return split if same and whole else held_out


def _read(adata: AnnData, key: str) -> FittedClassifier:
    try:
        return classifier_from_parts(adata.uns[key])
    except ValueError as error:
        msg = (
            f"adata.uns[{key!r}] is not a classifier of sp.tl.fit_classifier. Rename it, or fit one "
            f"with another key_added and name it in classifier=. {error}"
        )
        raise ValueError(msg) from error


def classifier_for(
    adata: AnnData,
    key: str,
    data: TrainingData,
    params: dict[str, Any],
    fabric: Fabric,
    folder: str | Path | None,
) -> tuple[FittedClassifier, pd.DataFrame | None]:
    """The classifier called `key` if it fits the data, else a new one with its history.

    Raises
    ------
    KeyError
        If a classifier was named that is not there.
    ValueError
        If a classifier was named that does not fit the data.
    """
    from ..training._fit_classifier import fit_classifier_on  # noqa: PLC0415 (torch takes seconds)

    named = key != CLASSIFIER
    if key in adata.uns:
        fitted = _read(adata, key)
        reason = _difference(adata, key, fitted, data, params)
        if reason is None:
            return fitted, None
        if named:
            msg = (
                f"adata.uns[{key!r}] does not fit: {reason}. Fit it anew with sp.tl.fit_classifier."
            )
            raise ValueError(msg)
        warn(f"adata.uns[{key!r}] does not fit ({reason}): another one is fitted in its place.")
    elif named:
        raise unknown_name("Classifier", key, adata.uns, "Fit one with sp.tl.fit_classifier.")
    same = {name: params.get(name) for name in ("groupby", "layer", "mask_var", "held_out", "seed")}
    own = classifier_params(max_epochs=MAX_EPOCHS, batch_size=BATCH_SIZE, **same)
    return fit_classifier_on(data, own, fabric, folder)


def _difference(
    adata: AnnData, key: str, fitted: FittedClassifier, data: TrainingData, params: dict[str, Any]
) -> str | None:
    """What a classifier was fitted on that differs from the data, if anything."""
    for name, of in (("groupby", "column"), ("layer", "layer")):
        if (was := fitted.params.get(name)) != params.get(name):
            return f"it was fitted on {of} {was!r}, not {params.get(name)!r}"
    if not np.array_equal(fitted.classes, data.classes):
        return "it was fitted on other classes"
    if not np.array_equal(fitted.genes, data.genes):
        return f"it was fitted on other genes ({len(fitted.genes):,}, not {len(data.genes):,})"
    split = classifier_keys(key).split
    same_split = split in adata.obs and np.array_equal(adata.obs[split] == TRAIN, data.is_train)
    stored = adata.uns[key]
    checks = {
        "with another split": same_split,
        "on other labels": stored.get("labels_digest") == labels_digest(adata, params["groupby"]),
        "on samples of other values": stored.get("expression_digest") == data.summary.digest,
    }
    return next((f"it was fitted {what}" for what, holds in checks.items() if not holds), None)
