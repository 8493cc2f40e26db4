"""Models with class statistics of resampled training samples."""

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
    """Bootstrap: class means and spreads of training samples drawn with replacement.

    The factors and the trained correction stay the same, because means and spreads make up nearly
    all of a perturbation. ValueError for recipe "paper", which has no class statistics.
    """
    if model.params.get("recipe") == PAPER:
        msg = "Intervals need a fit with recipe='transport'; this one has recipe='paper'."
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    n_classes = len(model.classifier.classes)
    members = [np.flatnonzero(labels == label) for label in range(n_classes)]
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
