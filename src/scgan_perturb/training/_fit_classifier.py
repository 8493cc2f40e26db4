"""Train the classifier on the data of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from .._recipes import CLASSIFIER_EPOCHS
from .._seeds import spawn_seeds
from .._settings import settings
from ..data._rows import ScaledRows
from ..data._split import split_codes
from ..models._fitted_classifier import FittedClassifier
from ..networks._networks import to_arrays
from ._early_stopping import validation_share
from ._run import open_checkpoint
from ._train_classifier import ClassifierTrainer, LabelledRows, train_classifier

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric

    from ..data._training_data import TrainingData


def fit_classifier_on(
    data: TrainingData, params: dict[str, Any], fabric: Fabric, folder: str | Path | None
) -> tuple[FittedClassifier, pd.DataFrame]:
    """Train f; return it with its history, a row an epoch.

    Without `max_epochs` in the settings some training samples validate: f trains until it has
    learnt, and is calibrated.
    """
    seed = spawn_seeds(params["seed"]).classifier
    labels = torch.from_numpy(data.labels.astype(np.int64))

    def samples(rows: np.ndarray) -> LabelledRows:
        return LabelledRows(
            ScaledRows(data.expression, rows, data.scaler, fabric.device), labels[rows]
        )

    rows, validation = np.flatnonzero(data.is_train), None
    if "max_epochs" not in params:
        trains = split_codes(data.labels[rows], validation_share(len(rows)), seed=seed)
        validation = None if trains.all() else samples(rows[~trains])
        rows = rows[trains]
    train = samples(rows)
    trainer = ClassifierTrainer(
        train.rows.n_genes,
        len(data.classes),
        seed=seed,
        fabric=fabric,
        averages=validation is not None,
    )
    network, history = train_classifier(
        trainer,
        train,
        validation=validation,
        held_out=samples(np.flatnonzero(~data.is_train & (data.labels >= 0))),
        max_epochs=params.get("max_epochs", CLASSIFIER_EPOCHS),
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
