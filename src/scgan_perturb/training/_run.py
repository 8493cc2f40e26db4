"""The identity of a training run: only the same run resumes its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._digests import digest
from ._checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning_fabric import Fabric

    from ..data._training_data import TrainingData
    from ..models._fitted_classifier import Weights


def open_checkpoint(
    folder: str | Path | None,
    name: str,
    data: TrainingData,
    params: Mapping[str, Any],
    fabric: Fabric,
    **others: str,
) -> Checkpoint | None:
    """The checkpoint of one network in a folder; None without a folder.

    Parameters
    ----------
    folder
        The user's folder.
    name
        Name of the network.
    data, params
        Training data and settings of the fit.
    fabric
        Processes and precision. The number of processes does not matter: they draw the same
        batches.
    **others
        Further inputs of the result.
    """
    if folder is None:
        return None
    identity = {
        "expression": data.summary.digest,
        "genes": digest(*map(str, data.genes), size=8),
        "classes": _text(data.classes),
        "labels": digest(data.labels, size=8),
        "split": digest(data.is_train, size=8),
        **{name: _text(value) for name, value in params.items()},
        "precision": str(fabric.strategy.precision.precision),
        **others,
    }
    return Checkpoint(Path(folder) / f"{name}.safetensors", identity, fabric)


def weights_digest(weights: Weights) -> str:
    """A hash of a network's weights."""
    return digest(*(part for name in sorted(weights) for part in (name, weights[name])), size=8)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, np.ndarray) else str(value)
