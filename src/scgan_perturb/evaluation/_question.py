"""What is judged: a fit, or the layer of any method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._keys import TEST, TRAIN, tspg_keys
from .._messages import unknown_name
from ..data._blocks import dense
from ..data._expression import ELSEWHERE, find_expression, match_genes, read_gene_mask
from ..data._labels import read_labels, resolve_classes, several
from ..data._split import read_split
from ..get._perturbation import find_layer
from ._reader import Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ..models._perturbation_model import PerturbationModel


def read_column(adata: AnnData, argument: str, column: str | None) -> np.ndarray | None:
    """A column of obs as text; None where none is named."""
    if column is None:
        return None
    if column not in adata.obs:
        raise unknown_name(
            "Column", column, adata.obs.columns, f"{argument} names a column of obs."
        )
    if (missing := adata.obs[column].isna()).any():
        msg = f"adata.obs[{column!r}] is missing for {missing.sum():,} of {adata.n_obs:,} samples."
        raise ValueError(msg)
    return adata.obs[column].astype(str).to_numpy(dtype=object)


def question_of_fit(
    adata: AnnData,
    model: PerturbationModel,
    accelerator: str,
    key: str,
    columns: dict[str, np.ndarray | None],
) -> Question:
    """What a fit is judged on."""
    keys = tspg_keys(key)
    names = read_labels(adata, model.params["groupby"]).astype(str).to_numpy(dtype=object)
    original = find_expression(adata, model.params.get("layer"))
    in_layer = not isinstance(original, ELSEWHERE) or keys.layer in adata.layers
    layer = find_layer(adata, key) if in_layer else None
    if keys.split not in adata.obs:
        msg = (
            f"adata.obs[{keys.split!r}] is not there: these samples were not part of the fit, so "
            "none is known to be held out. Evaluate the AnnData that sp.tl.fit_tspg was called on."
        )
        raise KeyError(msg)
    split = adata.obs[keys.split]
    positions = match_genes(adata, model.genes)

    def perturbed(rows: np.ndarray) -> np.ndarray:
        if layer is not None:
            return dense(layer[rows][:, positions])
        return model.perturb(original[rows][:, positions], accelerator=accelerator)

    return Question(
        names=adata.obs_names.astype(str).to_numpy(),
        labels=names,
        target=model.target,
        is_source=_are_named(names, model.params.get("source")),
        is_train=(split == TRAIN).to_numpy(),
        is_test=(split == TEST).to_numpy(),
        original=original,
        positions=positions,
        perturbed=perturbed,
        minimum=model.scaler.minimum,
        maximum=model.scaler.maximum,
        **columns,
    )


def question_of_prediction(
    adata: AnnData,
    prediction: str,
    own: dict[str, Any],
    source: object | Sequence[object] | None,
    layer: str | None,
    mask_var: str | None,
    columns: dict[str, np.ndarray | None],
) -> Question:
    """What a layer of another method is judged on."""
    labels = read_labels(adata, own["groupby"])
    classes = labels.cat.categories.to_numpy(dtype=object)
    [target] = resolve_classes([own["target"]], classes, what="target")
    if source is not None:
        resolve_classes(source, classes, what="source")
    original = find_expression(adata, layer)
    predicted = find_expression(adata, prediction, remedy="prediction= names a layer.")
    is_train = read_split(adata, labels, own["held_out"], seed=0)
    names = labels.astype(str).to_numpy(dtype=object)
    is_source = _are_named(names, source)
    if source is None:
        is_source &= names != classes[target]
    positions = np.flatnonzero(read_gene_mask(adata, mask_var))
    return Question(
        names=adata.obs_names.astype(str).to_numpy(),
        labels=names,
        target=str(classes[target]),
        is_source=is_source,
        is_train=is_train,
        is_test=~is_train,
        original=original,
        positions=positions,
        perturbed=lambda rows: dense(predicted[rows][:, positions]),
        **columns,
    )


def _are_named(labels: np.ndarray, named: object | None) -> np.ndarray:
    """Which samples have one of the named labels; all of them for None."""
    if named is None:
        return np.ones(len(labels), dtype=bool)
    return np.isin(labels, [str(label) for label in several(named)])
