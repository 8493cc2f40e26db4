"""Fits of resampled training samples, for intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._keys import TRAIN, tspg_keys
from .._messages import unknown_name
from ..data._blocks import select_genes
from ..data._expression import read_expression
from ..storage._identity import reader_of_fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ..models._perturbation_model import PerturbationModel


def resampled(
    adata: AnnData, model: PerturbationModel, *, n_bootstrap: int, seed: int, key: str
) -> Iterator[PerturbationModel]:
    """The model with class statistics of resampled training samples, n_bootstrap times.

    KeyError without the split; ValueError if a class has no training sample in `adata`, or for
    recipe "paper".
    """
    from ..models._resample import resampled_models  # noqa: PLC0415 (imports torch)

    split = tspg_keys(key).split
    if split not in adata.obs:
        remedy = "Intervals need the AnnData that sp.tl.fit_tspg was called on."
        raise unknown_name("Column", split, adata.obs.columns, remedy)
    reader = reader_of_fit(adata, model)
    classes = {label: i for i, label in enumerate(map(str, model.classifier.classes))}
    labels = reader.labels.astype(str).map(classes)
    train = ((adata.obs[split] == TRAIN) & labels.notna()).to_numpy()
    positions = labels[train].to_numpy(dtype=np.int64)
    codes = model.context_codes(reader.contexts_of(train), len(positions))
    if missing := [label for label, i in classes.items() if i not in positions]:
        msg = f"No training sample of {missing[0]!r} is there to draw from."
        raise ValueError(msg)
    expression = read_expression(adata, model.params.get("layer"))
    chosen = select_genes(expression, reader.positions)[np.flatnonzero(train)]
    groups = positions * max(len(model.contexts), 1) + codes
    return resampled_models(model, chosen, groups, n_models=n_bootstrap, seed=seed)
