"""The question of an evaluation: a fit, or the layer of another method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._keys import TEST, TRAIN, tspg_keys
from ..data._blocks import dense
from ..data._expression import find_expression
from ..data._labels import resolve_class, resolve_classes, single
from ..data._split import read_split
from ..get._perturbation import find_layer
from ..storage._identity import check_fit_belongs, reader_of_fit
from ._reader import Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ..data._reader import Reader
    from ..models._perturbation_model import PerturbationModel


def question_of_fit(
    adata: AnnData,
    model: PerturbationModel,
    accelerator: str,
    key: str,
    columns: dict[str, np.ndarray | None],
) -> Question:
    """The question for a fit.

    Raises
    ------
    KeyError
        If the perturbed layer or the split is missing.
    ValueError
        If expression, labels or split are not those of the fit.
    """
    keys, reader = tspg_keys(key), reader_of_fit(adata, model)
    check_fit_belongs(reader, model, key, labels=True, training=True)
    has_layer = reader.matrix.in_memory or keys.layer in adata.layers
    layer = find_layer(adata, key) if has_layer else None
    if keys.split not in adata.obs:
        msg = (
            f"adata.obs[{keys.split!r}] is missing: these samples were not part of the fit, so "
            "none is known to be held out. Evaluate the AnnData that sp.tl.fit_tspg was called on."
        )
        raise KeyError(msg)
    split = adata.obs[keys.split]

    if columns["contexts"] is None:
        columns["contexts"] = reader.context_names

    def perturbed(rows: np.ndarray) -> np.ndarray:
        if layer is not None:
            return dense(layer[rows][:, reader.positions])
        return model.perturb(
            reader.matrix[rows][:, reader.positions],
            context=reader.contexts_of(rows),
            accelerator=accelerator,
        )

    return Question(
        reader,
        target=model.target,
        is_source=_is_source(reader.label_names, model),
        is_train=(split == TRAIN).to_numpy(),
        is_test=(split == TEST).to_numpy(),
        perturbed=perturbed,
        minimum=model.scaler.minimum,
        maximum=model.scaler.maximum,
        **columns,
    )


def question_of_prediction(
    reader: Reader,
    prediction: str,
    target: object,
    source: object | Sequence[object] | None,
    held_out: str,
    columns: dict[str, np.ndarray | None],
) -> Question:
    """The question for the layer of another method."""
    adata, labels = reader.adata, reader.labels
    classes = labels.cat.categories.to_numpy(dtype=object)
    position = resolve_class(single(target, "target"), classes)
    if source is None:
        is_source = reader.label_names != classes[position]
    else:
        named = classes[resolve_classes(source, classes, what="source")]
        is_source = np.isin(reader.label_names, named)
    predicted = find_expression(adata, prediction, remedy="prediction= names a layer.")
    is_train = read_split(adata, labels, held_out, seed=0)
    return Question(
        reader,
        target=str(classes[position]),
        is_source=is_source,
        is_train=is_train,
        is_test=~is_train,
        perturbed=lambda rows: dense(predicted[rows][:, reader.positions]),
        **columns,
    )


def _is_source(labels: np.ndarray, model: PerturbationModel) -> np.ndarray:
    """Which samples are of a source of the fit; all of them without."""
    sources = model.params.get("source")
    return np.ones(len(labels), dtype=bool) if sources is None else np.isin(labels, sources)
