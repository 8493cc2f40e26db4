"""Models as they would have been, had other samples of the same classes been at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from .._recipes import PAPER
from ..data._rows import ScaledRows
from ..estimates._class_statistics import class_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..data._blocks import Matrix
    from ._perturbation_model import PerturbationModel


def resampled_models(
    model: PerturbationModel, expression: Matrix, labels: np.ndarray, *, n_models: int, seed: int
) -> Iterator[PerturbationModel]:
    """Bootstrap: the means and spreads of the classes from samples drawn anew with replacement.

    The factors and the trained correction stay the same; means and spreads make up nearly all of a
    perturbation.

    Parameters
    ----------
    model
        A model of recipe "transport".
    expression
        Its training samples × genes, input units.
    labels
        Position of the class of each.
    n_models, seed
        How many, and the seed of the draws.

    Raises
    ------
    ValueError
        If the model's recipe is "paper", whose generator is not made of class statistics.
    """
    if model.params.get("recipe") == PAPER:
        msg = "Intervals need a fit with recipe='transport'; this one has recipe='paper'."
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    n_classes = len(model.classifier.classes)
    members = [np.flatnonzero(labels == place) for place in range(n_classes)]
    for _ in range(n_models):
        drawn = np.concatenate([rng.choice(m, len(m)) for m in members])
        rows = ScaledRows(expression, drawn, model.scaler, torch.device("cpu"))
        statistics = class_statistics(rows, torch.from_numpy(labels[drawn]), n_classes)
        weights = {
            **model.weights,
            "mean": statistics.mean.numpy(),
            "spread": statistics.spread.numpy(),
        }
        yield replace(model, weights=weights)
