"""Log the results of a fit or a perturbation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._messages import logger

if TYPE_CHECKING:
    import numpy as np

    from .._keys import ClassifierKeys, TspgKeys
    from ..data._training_data import TrainingData
    from ..models._perturbation_model import PerturbationModel
    from ._apply import Perturbed


def log_classifier(
    keys: ClassifierKeys,
    data: TrainingData,
    predicted: np.ndarray,
    groupby: str,
    calibration_error: float,
) -> None:
    """Log how often a classifier is right, how sure it is, and what was written."""
    held_out = ~data.is_train & (data.labels >= 0)
    is_right = predicted[held_out] == data.labels[held_out]
    is_measured = not math.isnan(calibration_error)
    sure = f"; its probabilities are off by {100 * calibration_error:.1f} points" * is_measured
    logger.info(
        "Classifier of %s: %d classes, %s genes, right on %s%s.\n"
        "    added: adata.uns[%r], adata.obs[%r], adata.obs[%r]",
        groupby,
        len(data.classes),
        f"{len(data.genes):,}",
        _percentage(is_right, "held-out samples"),
        sure,
        keys.uns,
        keys.split,
        keys.predicted,
    )


def log_perturbation(
    keys: TspgKeys,
    model: PerturbationModel,
    perturbed: Perturbed | None,
    rows: np.ndarray | slice = slice(None),
    samples: str = "samples",
    *,
    is_fit: bool = False,
) -> None:
    """Log how often the classifier is convinced, and what was written.

    Parameters
    ----------
    keys, model, perturbed
        Names, the model and its result; None if no layer was written.
    rows, samples
        Positions of the samples to count, and their description.
    is_fit
        Whether the model was fitted by this call.
    """
    layer = [] if perturbed is None else [f"layers[{keys.layer!r}]"]
    columns = [keys.split] if is_fit else []
    first = f", the first of {len(model.targets)} targets" if len(model.targets) > 1 else ""
    if perturbed is None:
        result = (
            " is fitted. The file is not open for writing or holds no AnnData, so no layer was "
            "written: open it with backed='r+' and call sp.tl.perturb."
        )
    elif perturbed.predicted is None:
        result = ": the layer is lazy; its values are computed when they are read."
    else:
        columns += [keys.predicted, keys.probability]
        is_target = perturbed.predicted[rows] == model.target
        result = f": the classifier calls {_percentage(is_target, samples)} {model.target} once perturbed."
        result += " That alone does not make them real: call sp.tl.evaluate." if is_fit else ""
    names = [*layer, *(f"obs[{column!r}]" for column in columns), f"uns[{keys.uns!r}]"]
    logger.info(
        "Perturbation to %s%s%s\n    added: %s",
        model.target,
        first if is_fit else "",
        result,
        ", ".join(f"adata.{name}" for name in names),
    )


def _percentage(hits: np.ndarray, samples: str) -> str:
    if len(hits) == 0:
        return f"none of 0 {samples}"
    return f"{100 * hits.mean():.1f} % of {len(hits):,} {samples}"
