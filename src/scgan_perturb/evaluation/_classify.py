"""Who calls a sample the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..metrics._two_sample import IndependentClassifiers
from ._table import SUCCESS

if TYPE_CHECKING:
    from ..models._perturbation_model import PerturbationModel
    from ._reader import Drawn
    from ._table import Classify


def classify(
    drawn: Drawn,
    target: str,
    model: PerturbationModel | None,
    *,
    accelerator: str,
    seed: int,
) -> Classify:
    """Who calls scaled samples the target: f, and two that the generator never met."""
    independent = IndependentClassifiers(drawn.train, drawn.train_labels, seed=seed)

    def call(x: np.ndarray) -> dict[str, np.ndarray]:
        called = dict(zip(SUCCESS[1:], independent.predict(x).values(), strict=True))
        if model is not None:
            classifier, scaler = model.classifier, model.scaler
            constant = np.broadcast_to(scaler.minimum, (len(x), len(scaler.minimum)))
            expression = scaler.inverse(x, constant)
            likely = classifier.predict_proba(expression, accelerator=accelerator).argmax(axis=1)
            called = {SUCCESS[0]: classifier.classes[likely], **called}
        return {name: labels == target for name, labels in called.items()}

    return call
