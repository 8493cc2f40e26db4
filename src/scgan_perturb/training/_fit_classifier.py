"""Train the classifier on the data of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from .._seeds import spawn_seeds
from .._settings import settings
from ..data._rows import ScaledRows
from ..models._fitted_classifier import FittedClassifier
from ..networks._networks import to_arrays
from ._run import open_checkpoint
from ._train_classifier import ClassifierTrainer, train_classifier

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric

    from ..data._training_data import TrainingData


def fit_classifier_on(
    data: TrainingData, params: dict[str, Any], fabric: Fabric, folder: str | Path | None
) -> tuple[FittedClassifier, pd.DataFrame]:
    """Train f; return it with its history, a row an epoch."""
    rows = np.flatnonzero(data.is_train)
    held_out = np.flatnonzero(~data.is_train & (data.labels >= 0))
    labels = torch.from_numpy(data.labels.astype(np.int64))
    train = ScaledRows(data.expression, rows, data.scaler, fabric.device)
    trainer = ClassifierTrainer(
        train.n_genes,
        len(data.classes),
        seed=spawn_seeds(params["seed"]).classifier,
        fabric=fabric,
    )
    network, history = train_classifier(
        trainer,
        train,
        labels[rows],
        held_out=(
            ScaledRows(data.expression, held_out, data.scaler, fabric.device),
            labels[held_out],
        ),
        max_epochs=params["max_epochs"],
        batch_size=params["batch_size"],
        checkpoint=open_checkpoint(folder, "classifier", data, params, fabric),
        progress_bar=settings.progress_bar and fabric.is_global_zero,
    )
    params = params | data.units
    fitted = FittedClassifier(data.genes, data.classes, data.scaler, to_arrays(network), params)
    return fitted, history_frame(history)


def history_frame(history: list[dict[str, float]]) -> pd.DataFrame:
    """One row for each epoch, counted from 1."""
    return pd.DataFrame(history, index=pd.RangeIndex(1, len(history) + 1, name="epoch"))
