"""Fitted models as nested dicts of arrays, text and numbers, which every file format can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..data._scaling import GeneScaler
from ._fitted import FittedClassifier, PerturbationModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._fitted import Weights

GENERATOR, CLASSIFIER = "generator.", "classifier."


def classifier_to_parts(classifier: FittedClassifier) -> dict[str, Any]:
    """The parts of a classifier."""
    return {
        "params": classifier.params,
        "genes": classifier.genes,
        "classes": classifier.classes,
        "scale_min": classifier.scaler.minimum,
        "scale_max": classifier.scaler.maximum,
        "weights": _prefixed(CLASSIFIER, classifier.weights),
    }


def classifier_from_parts(parts: Mapping[str, Any]) -> FittedClassifier:
    """A classifier from its parts.

    Raises
    ------
    ValueError
        If a part is missing or does not fit the others.
    """
    try:
        genes = _names(parts["genes"])
        scaler = GeneScaler(_floats(parts["scale_min"]), _floats(parts["scale_max"]))
        classifier = FittedClassifier(
            genes,
            _names(parts["classes"]),
            scaler,
            _unprefixed(CLASSIFIER, parts["weights"]),
            dict(parts["params"]),
        )
    except (LookupError, TypeError, AttributeError) as error:
        msg = f"Not a stored model: {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    if not genes.shape == scaler.minimum.shape == scaler.maximum.shape:
        msg = "Not a stored model: its genes and their ranges differ in number."
        raise ValueError(msg)
    if not (np.isfinite(scaler.minimum) & np.isfinite(scaler.maximum)).all():
        msg = "Not a stored model: a gene's range is NaN or infinite."
        raise ValueError(msg)
    for what, names in (("genes", genes), ("classes", classifier.classes)):
        if len(set(names)) < len(names):
            msg = f"Not a stored model: its {what} are not all different."
            raise ValueError(msg)
    for name, instead in (("groupby", None), ("layer", "X")):
        if not isinstance(classifier.params.get(name, instead), str):
            msg = f"Not a stored model: its {name} is no name."
            raise ValueError(msg)
    return classifier


def model_to_parts(model: PerturbationModel) -> dict[str, Any]:
    """The parts of a model: those of its classifier, the target means and the generator."""
    parts = classifier_to_parts(model.classifier)
    return {
        **parts,
        "params": model.params,
        "target_mean": model.target_mean,
        "target_means": model.target_means,
        "weights": {**_prefixed(GENERATOR, model.weights), **parts["weights"]},
    }


def model_from_parts(parts: Mapping[str, Any]) -> PerturbationModel:
    """A model from its parts.

    Raises
    ------
    ValueError
        If a part is missing or does not fit the others.
    """
    classifier = classifier_from_parts(parts)
    try:
        model = PerturbationModel(
            classifier,
            _floats(parts["target_means"]),
            _unprefixed(GENERATOR, parts["weights"]),
            classifier.params,
        )
        fits = model.target in model.targets and set(model.targets) <= set(classifier.classes)
        fits &= model.target_means.shape == (len(model.targets), len(model.genes))
        fits &= bool(np.isfinite(model.target_means).all())
        # The transport generator keeps their positions as well, and looks things up by them.
        if fits and "targets" in model.weights:
            positions = [list(classifier.classes).index(name) for name in model.targets]
            fits = np.array_equal(model.weights["targets"], positions)
    except (LookupError, TypeError) as error:
        msg = f"Not a stored model: {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    if not fits:
        msg = "Not a stored model: its targets are not classes, or their means lack genes."
        raise ValueError(msg)
    return model


def _prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: array for name, array in weights.items()}


def _unprefixed(prefix: str, weights: Mapping[str, Any]) -> Weights:
    return {n.removeprefix(prefix): _floats(a) for n, a in weights.items() if n.startswith(prefix)}


def _names(values: Any) -> np.ndarray:
    return np.array([str(value) for value in values], dtype=object)


def _floats(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)
