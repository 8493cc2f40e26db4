"""Which samples take which part in a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data._labels import resolve_class, resolve_classes

if TYPE_CHECKING:
    from ..data._training_data import TrainingData


class Roles(NamedTuple):
    """Samples by the part they take in a fit: positions, and a mask of those to perturb."""

    target_class: int
    target: np.ndarray
    train: np.ndarray
    real: np.ndarray
    held_out: np.ndarray
    perturbed: np.ndarray


def assign_roles(data: TrainingData, target: object, source: object) -> Roles:
    """Who trains, who is real, who is the target, who is measured, who is perturbed.

    Raises
    ------
    ValueError
        If target or source is not a class, both are the same, or either has fewer than two
        training samples.
    """
    target_class = resolve_class(target, data.classes)
    is_target = data.labels == target_class
    is_source = np.ones(len(data.labels), dtype=bool)
    if source is not None:
        is_source = np.isin(data.labels, resolve_classes(source, data.classes, what="source"))
        if (is_source == is_target).all():
            msg = f"source and target are the same class, {str(target)!r}."
            raise ValueError(msg)
    roles = Roles(
        target_class=target_class,
        target=np.flatnonzero(is_target & data.is_train),
        train=np.flatnonzero(is_source & data.is_train),
        # D sees the data the fit is about: what is perturbed and what it is to become.
        real=np.flatnonzero((is_source | is_target) & data.is_train),
        held_out=np.flatnonzero(is_source & ~is_target & ~data.is_train),
        perturbed=is_source,
    )
    for what, members in (("target", roles.target), ("source", roles.train)):
        if len(members) < 2:
            label = target if what == "target" else source
            msg = f"{what} {label!r} has {len(members)} training samples; at least 2 are needed."
            raise ValueError(msg)
    return roles
