"""The roles of samples in a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data._labels import resolve_class, resolve_classes, several

if TYPE_CHECKING:
    from ..data._training_data import TrainingData

MIN_SAMPLES = 2  # training samples of a target, and of the sources


class Roles(NamedTuple):
    """Samples by their role in a fit: positions, and a mask of the samples to perturb.

    Parameters
    ----------
    targets
        Positions of the targets among the classes.
    train
        Training samples to perturb.
    real
        Training samples of sources and targets.
    held_out
        Held-out samples to measure; a single target's own samples are left out.
    perturbed
        Whether a sample is perturbed after the fit.
    """

    targets: np.ndarray
    train: np.ndarray
    real: np.ndarray
    held_out: np.ndarray
    perturbed: np.ndarray


def assign_roles(data: TrainingData, target: object, source: object) -> Roles:
    """Assign samples to roles.

    Raises
    ------
    ValueError
        If a target or source is not a class or has fewer than two training samples, or both are
        the same.
    """
    targets = _resolve_targets(data, target)
    is_target = np.isin(data.labels, targets)
    is_source = np.ones(len(data.labels), dtype=bool)
    if source is not None:
        is_source = np.isin(data.labels, resolve_classes(source, data.classes, what="source"))
        for index in targets:
            if not (is_source & (data.labels != index)).any():
                msg = f"source and target are the same class, {str(data.classes[index])!r}."
                raise ValueError(msg)
    roles = Roles(
        targets=targets,
        train=np.flatnonzero(is_source & data.is_train),
        real=np.flatnonzero((is_source | is_target) & data.is_train),
        held_out=np.flatnonzero(
            is_source & ~data.is_train & (~is_target if len(targets) == 1 else data.labels >= 0)
        ),
        perturbed=is_source,
    )
    if len(roles.train) < MIN_SAMPLES:
        msg = f"source {source!r} has {len(roles.train)} training samples; at least 2 are needed."
        raise ValueError(msg)
    return roles


def _resolve_targets(data: TrainingData, target: object) -> np.ndarray:
    """Positions of the targets among the classes; None for all with enough samples."""
    counts = np.bincount(data.labels[data.is_train], minlength=len(data.classes))
    if target is None:
        target = data.classes[counts >= MIN_SAMPLES]
    targets = list(dict.fromkeys(resolve_class(label, data.classes) for label in several(target)))
    if not targets:
        msg = "There is no target: name a label with at least 2 training samples."
        raise ValueError(msg)
    for index in targets:
        if counts[index] < MIN_SAMPLES:
            msg = (
                f"target {str(data.classes[index])!r} has {counts[index]} training samples; at "
                "least 2 are needed."
            )
            raise ValueError(msg)
    return np.array(targets)
