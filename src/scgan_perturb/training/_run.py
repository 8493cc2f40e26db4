"""What a training run is of, so that no other one goes on with its checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
    """The checkpoint of one network in a folder; None where no folder is asked for.

    Parameters
    ----------
    folder
        The user's folder.
    name
        Name of the network.
    data, params
        What it is trained on, and the settings of the fit.
    fabric
        Processes and precision. How many processes there are does not matter: what they draw is
        the same.
    **others
        What else decides the result.

    Raises
    ------
    ValueError
        If the folder is a file.
    """
    if folder is None:
        return None
    if Path(folder).exists() and not Path(folder).is_dir():
        msg = f"checkpoint={str(folder)!r} is a file; name a folder, which is made if need be."
        raise ValueError(msg)
    identity = {
        "expression": data.summary.digest,
        "genes": _digest(*map(str, data.genes)),
        "classes": _text(data.classes),
        "labels": _digest(data.labels.tobytes()),
        "split": _digest(data.is_train.tobytes()),
        **{name: _text(value) for name, value in params.items()},
        "precision": str(fabric.strategy.precision.precision),
        **others,
    }
    return Checkpoint(Path(folder) / f"{name}.safetensors", identity, fabric)


def weights_digest(weights: Weights) -> str:
    """A hash of a network's weights."""
    return _digest(*(part for name in sorted(weights) for part in (name, weights[name].tobytes())))


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, np.ndarray) else str(value)
