"""The identity of a fit: stored with the fit, and checked by every reader of it.

The check is cheap for data of any size. It compares the values of a few samples, found by name; so
a subset of the samples or another order of the genes is accepted. Labels and split are compared as
a whole if the samples are the same. Fits of version 0.1.0 have no identity and are not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._digests import digest
from .._keys import IDENTITY, TRAIN, tspg_keys
from .._messages import examples, warn
from ..data._contexts import SEPARATOR
from ..data._reader import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from ..data._training_data import TrainingData
    from ..models._perturbation_model import PerturbationModel

N_FIRST, N_SPREAD = 8, 24  # samples to compare: the first ones, and others at equal distances


def fit_identity(data: TrainingData) -> dict[str, Any]:
    """The identity of a fit."""
    reader = data.reader
    rows = _compared_rows(reader.adata.n_obs, is_lazy=reader.matrix.is_lazy)
    return layer_identity(reader) | {
        "sample_names": digest(*reader.sample_names),
        "sample_labels": _groups(reader)[rows],
        "labels": digest(*_groups(reader)),
        "split": digest(data.is_train),
        "n_train": np.bincount(data.labels[data.is_train], minlength=len(data.classes)),
    }


def layer_identity(reader: Reader) -> dict[str, Any]:
    """Names of some samples, and hashes of their expression."""
    rows = _compared_rows(reader.adata.n_obs, is_lazy=reader.matrix.is_lazy)
    return {"samples": reader.sample_names[rows], "expression": _row_digests(reader, rows)}


def _groups(reader: Reader) -> np.ndarray:
    """The label of each sample, with its context where there are some."""
    if reader.context_names is None:
        return reader.label_names
    return np.char.add(
        np.char.add(reader.label_names.astype(str), SEPARATOR), reader.context_names.astype(str)
    ).astype(object)


def reader_of_fit(adata: AnnData, model: PerturbationModel) -> Reader:
    """Reads the expression and the labels that a model was fitted on."""
    layer, groupby = model.params.get("layer"), model.params["groupby"]
    return Reader(adata, layer, groupby=groupby, context=model.context, model_genes=model.genes)


def check_fit_belongs(
    reader: Reader,
    model: PerturbationModel,
    key: str,
    *,
    labels: bool = False,
    training: bool = False,
) -> None:
    """Check that a fit belongs to the expression, and optionally to labels and split.

    Parameters
    ----------
    reader, model, key
        Reader of the AnnData with the fit, the fit and its name.
    labels
        Whether the reader uses the labels.
    training
        Whether the reader learns from the training samples.

    Raises
    ------
    ValueError
        If expression, labels or split are not those of the fit.

    Warns
    -----
    UserWarning
        If training samples of the fit are missing.
    """
    identity = _stored_identity(reader.adata, model, key)
    if identity is None:
        return
    _check_expression(reader, key, identity)
    if "labels" not in identity or not (labels or training):
        return  # the samples were not part of the fit
    same_samples = identity["sample_names"] == digest(*reader.sample_names)
    _check_labels(reader, key, identity, same_samples=same_samples)
    if training:
        _check_training(reader, model, key, identity, same_samples=same_samples)


def _stored_identity(
    adata: AnnData, model: PerturbationModel, key: str
) -> Mapping[str, Any] | None:
    """The identity of a fit, or None; ValueError if it is damaged."""
    stored = adata.uns[key].get(IDENTITY)
    if stored is None:
        return None
    try:
        per_sample = ["samples", "expression", *(["sample_labels"] if "labels" in stored else [])]
        shapes = {np.shape(stored[name]) for name in per_sample}
        is_valid = len(shapes) == 1 and len(shapes.pop()) == 1
        if "labels" in stored:
            hashes = ("labels", "split", "sample_names")
            is_valid &= all(isinstance(stored[name], str) for name in hashes)
            is_valid &= np.shape(stored["n_train"]) == np.shape(model.classifier.classes)
            is_valid &= np.asarray(stored["n_train"]).dtype.kind in "iu"
    except (LookupError, TypeError, ValueError):
        is_valid = False
    if not is_valid:
        msg = f"adata.uns[{key!r}][{IDENTITY!r}] is damaged. Call sp.tl.fit_tspg again."
        raise ValueError(msg)
    return stored


def _check_expression(reader: Reader, key: str, identity: Mapping[str, Any]) -> None:
    stored, rows = _find_compared(reader, identity, is_lazy=reader.matrix.is_lazy)
    if len(rows) == 0:
        return
    digests, layer = _row_digests(reader, rows), reader.layer
    changed = digests != np.asarray(identity["expression"])[stored]
    if changed.any():
        where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
        sample = reader.adata.obs_names[rows[int(np.argmax(changed))]]
        msg = (
            f"{where} has changed since fit {key!r}: the values of sample {sample!r} differ. "
            f"Restore {where} (keep a scaled or otherwise changed copy in another layer), or call "
            f"sp.tl.fit_tspg again; "
            f"sp.tl.perturb(adata, reference=adata) perturbs the new values with the old fit."
        )
        raise ValueError(msg)


def _check_labels(
    reader: Reader, key: str, identity: Mapping[str, Any], *, same_samples: bool
) -> None:
    now = _groups(reader)
    if same_samples and digest(*now) == identity["labels"]:
        return
    stored, rows = _find_compared(reader, identity)
    before = np.asarray(identity["sample_labels"], dtype=object)[stored]
    changed = np.flatnonzero(now[rows] != before)
    if not same_samples and len(changed) == 0:
        return
    example = ""
    if len(changed):
        i = changed[0]
        sample = reader.adata.obs_names[rows[i]]
        example = f" (sample {sample!r} was {before[i]!r}, is {now[rows[i]]!r})"
    columns = " and ".join(f"adata.obs[{name!r}]" for name in (reader.groupby, *reader.context))
    msg = (
        f"The labels in {columns} have changed since fit {key!r}{example}. Restore the "
        "labels, or call sp.tl.fit_tspg again."
    )
    raise ValueError(msg)


def _check_training(
    reader: Reader,
    model: PerturbationModel,
    key: str,
    identity: Mapping[str, Any],
    *,
    same_samples: bool,
) -> None:
    adata, column = reader.adata, tspg_keys(key).split
    if column not in adata.obs:
        return  # each verb raises its own error
    is_train = (adata.obs[column] == TRAIN).to_numpy(dtype=bool)
    if same_samples:
        if digest(is_train) != identity["split"]:
            msg = (
                f"adata.obs[{column!r}] is not the split of fit {key!r}. Restore the column, or call "
                "sp.tl.fit_tspg again."
            )
            raise ValueError(msg)
        return
    counts = (
        reader.labels[is_train].value_counts().reindex(list(model.classifier.classes), fill_value=0)
    )
    missing = np.asarray(identity["n_train"]) - counts.to_numpy()
    if (missing > 0).any():
        n_train = int(np.sum(identity["n_train"]))
        few = model.classifier.classes[missing > 0]
        warn(
            f"{missing.clip(0).sum():,} of the {n_train:,} training samples of fit {key!r} are not in "
            f"adata (classes {examples(few)}): baselines and estimates learn from fewer samples. "
            "Use the AnnData with all samples of the fit."
        )


def _compared_rows(n_samples: int, *, is_lazy: bool = False) -> np.ndarray:
    """Positions of the samples to compare; only the first ones if values are computed on demand."""
    first = np.arange(min(N_FIRST, n_samples))
    if is_lazy:
        return first
    spread = np.linspace(0, n_samples - 1, N_SPREAD).astype(int)
    return np.concatenate([first, np.setdiff1d(spread, first)])


def _find_compared(
    reader: Reader, identity: Mapping[str, Any], *, is_lazy: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the compared samples that are there: in the identity, and in the AnnData."""
    names = reader.adata.obs_names.astype(str)
    compared = np.asarray(identity["samples"], dtype=object)
    compared = compared[:N_FIRST] if is_lazy else compared
    if not names.is_unique:  # a repeated name identifies a sample only at its old position
        rows = _compared_rows(len(names))[: len(compared)]
        is_same = names[rows] == compared[: len(rows)]
        return np.flatnonzero(is_same), rows[is_same]
    rows = names.get_indexer(compared)
    return np.flatnonzero(rows >= 0), rows[rows >= 0]


def _row_digests(reader: Reader, rows: np.ndarray) -> np.ndarray:
    """A hash of the values of each sample, as float32."""
    block = np.ascontiguousarray(reader.read(rows)) + np.float32(0)
    return np.array([digest(row, size=8) for row in block], dtype=object)
