"""Which samples the classifiers of an evaluation predict to be the target."""

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
    """A function that asks f, and two independent classifiers, which scaled samples are the target."""
    independent = IndependentClassifiers(drawn.train, drawn.train_labels, seed=seed)

    def is_target(x: np.ndarray) -> dict[str, np.ndarray]:
        predicted = dict(zip(SUCCESS[1:], independent.predict(x).values(), strict=True))
        if model is not None:
            classifier, scaler = model.classifier, model.scaler
            constant = np.broadcast_to(scaler.minimum, (len(x), len(scaler.minimum)))
            expression = scaler.inverse(x, constant)
            classes = classifier.predict_proba(expression, accelerator=accelerator).argmax(axis=1)
            predicted = {SUCCESS[0]: classifier.classes[classes], **predicted}
        return {name: labels == target for name, labels in predicted.items()}

    return is_target
