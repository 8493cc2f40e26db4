"""A fitted generator as a dict of plain parts, to store, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._recipes import PAPER
from ._fitted_classifier import (
    as_floats,
    classifier_from_parts,
    classifier_to_parts,
    prefixed,
    unprefixed,
)
from ._perturbation_model import PerturbationModel

if TYPE_CHECKING:
    from collections.abc import Mapping

GENERATOR = "generator."
OLD_WEIGHTS = {"mean", "spread", "axes", "maps"}  # of recipe "transport" in version 0.1.0


class OldFitError(ValueError):
    """A fit that an earlier version made and this one cannot apply."""


def model_to_parts(model: PerturbationModel) -> dict[str, Any]:
    """A model as a dict to store: its classifier, target means and generator."""
    parts = classifier_to_parts(model.classifier)
    return {
        **parts,
        "params": model.params,
        "target_mean": model.target_mean,
        "target_means": model.target_means,
        "weights": {**prefixed(GENERATOR, model.weights), **parts["weights"]},
    }


def model_from_parts(parts: Mapping[str, Any]) -> PerturbationModel:
    """Inverse of :func:`model_to_parts`; ValueError if a part is missing or does not fit.

    OldFitError if version 0.1.0 fitted the model by recipe "transport".
    """
    classifier = classifier_from_parts(parts)
    try:
        model = PerturbationModel(
            classifier,
            as_floats(parts["target_means"]),
            unprefixed(GENERATOR, parts["weights"]),
            classifier.params,
        )
        fits = model.target in model.targets and set(model.targets) <= set(classifier.classes)
        fits &= model.target_means.shape == (len(model.targets), len(model.genes))
        fits &= bool(np.isfinite(model.target_means).all())
        if model.context:
            shape = (len(classifier.classes), len(model.contexts))
            fits &= np.shape(model.params["n_train"]) == shape
        if model.params.get("recipe") != PAPER and model.weights.keys() >= OLD_WEIGHTS:
            msg = (
                "The fit is of recipe 'transport' of version 0.1.0, which this version cannot "
                "apply: call sp.tl.fit_tspg again."
            )
            raise OldFitError(msg)
        # The transport generator stores the positions of the targets as well.
        if fits and "targets" in model.weights:
            positions = [list(classifier.classes).index(name) for name in model.targets]
            fits = np.array_equal(model.weights["targets"], positions)
    except (LookupError, TypeError) as error:
        msg = f"Not a stored model: {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    if not fits:
        msg = (
            "Not a stored model: its targets are not classes, or targets or contexts lack numbers."
        )
        raise ValueError(msg)
    return model


def checked_model(parts: Mapping[str, Any]) -> PerturbationModel:
    """A model; ValueError if its weights do not fit its networks."""
    model = model_from_parts(parts)
    model.network()
    model.classifier.network()
    return model
