"""Train the generator of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from .._recipes import PAPER, TRANSPORT, Paper
from .._seeds import spawn_seeds
from .._settings import settings
from ..data._rows import ScaledRows
from ..data._split import stratified_sample
from ..engine._processes import part
from ..engine._shares import sum_of_all
from ..estimates._class_statistics import Moments, class_moments, statistics_of
from ..estimates._samples import Samples
from ..estimates._target import TargetDistribution
from ..estimates._transport import estimate_transport
from ..models._perturbation_model import PerturbationModel
from ..networks._networks import to_arrays
from ._epochs import HELD_ROWS
from ._fit_classifier import history_frame
from ._pools import make_pools
from ._run import open_checkpoint, weights_digest
from ._train_transport import train_transport
from ._train_tspg import TspgTrainer, train_tspg
from ._transport_trainer import TransportTrainer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from lightning_fabric import Fabric
    from torch import nn

    from .._recipes import Transport
    from ..data._blocks import Matrix
    from ..data._scaling import GeneScaler
    from ..data._training_data import TrainingData
    from ..estimates._class_statistics import ClassStatistics
    from ..estimates._transport import Transport as Estimates
    from ..models._fitted_classifier import FittedClassifier
    from ..models._module_classifier import ModuleClassifier
    from ._checkpoint import Checkpoint, Record
    from ._roles import Roles

MAX_MEASURED = 512  # held-out samples in the success after each epoch, at most
VALIDATION_SHARE = 0.1  # of the training samples, which choose the best epoch


class Fit(NamedTuple):
    """Inputs of a recipe. The classifier to convince is f itself, or a module of the user."""

    data: TrainingData
    roles: Roles
    classifier: FittedClassifier
    classifier_to_convince: FittedClassifier | ModuleClassifier
    recipe: Transport | Paper
    params: dict[str, Any]
    fabric: Fabric
    folder: str | Path | None = None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Checkpoint of the generator; None without a folder."""
        if self.folder is None:
            return None
        return open_checkpoint(
            self.folder,
            "generator",
            self.data,
            self.params,
            self.fabric,
            classifier=weights_digest(self.classifier.weights),
            judge=weights_digest(to_arrays(self.classifier_to_convince.network())),
        )

    @property
    def sample(self) -> np.ndarray:
        """Positions of the training samples that the networks train on.

        The same for every kind of storage. Means and spreads are estimated from all training
        samples, in one pass.
        """
        train = np.flatnonzero(self.data.is_train)
        seed = spawn_seeds(self.params["seed"]).tspg
        return train[stratified_sample(self.data.labels[train], HELD_ROWS, seed=seed)]

    def scaled_rows(self, rows: np.ndarray) -> ScaledRows:
        """Samples as input of a network."""
        return ScaledRows(self.data.expression, rows, self.data.scaler, self.fabric.device)

    def rows_in_memory(self, rows: np.ndarray) -> ScaledRows:
        """Samples as input of a network, read into memory."""
        scaled = self.scaled_rows(rows)
        scaled.hold(torch.arange(len(rows)))
        return scaled

    def statistics(self) -> ClassStatistics:
        """Mean and spread of each class, from all training samples in one pass."""
        data, device = self.data, self.fabric.device
        rows, n_classes = np.flatnonzero(data.is_train), len(data.classes)
        if data.expression.is_lazy:  # Dask's workers sum the blocks
            moments = data.expression.reduce(
                _block_moments,
                _sum_moments,
                data.labels,
                data.is_train,
                fabric=self.fabric,
                scaler=data.scaler,
                n_classes=n_classes,
            )
            return statistics_of(Moments(*(sums.to(device) for sums in moments)))
        local_rows = rows[part(self.fabric, len(rows))]
        labels = torch.from_numpy(data.labels[local_rows]).to(device)
        moments = class_moments(self.scaled_rows(local_rows), labels, n_classes)
        return statistics_of(Moments(*(sum_of_all(self.fabric, local) for local in moments)))

    @property
    def progress_bar(self) -> bool:
        """Whether this process shows progress."""
        return settings.progress_bar and self.fabric.is_global_zero

    @property
    def description(self) -> str:
        """Text before the progress bar."""
        targets = self.data.classes[self.roles.targets]
        return f"to {targets[0]}" if len(targets) == 1 else f"to {len(targets)} targets"


def _block_moments(
    block: Matrix, labels: np.ndarray, is_train: np.ndarray, scaler: GeneScaler, n_classes: int
) -> Moments:
    rows = np.flatnonzero(is_train)
    scaled = ScaledRows(block, rows, scaler, torch.device("cpu"))
    return class_moments(scaled, torch.from_numpy(labels[rows]), n_classes)


def _sum_moments(parts: Sequence[Moments]) -> Moments:
    return Moments(*(torch.stack(terms).sum(dim=0) for terms in zip(*parts, strict=True)))


def _train_paper(fit: Fit, recipe: Paper) -> tuple[nn.Module, list[Record]]:
    """Recipe "paper": generator against discriminator (paper, section 2.2)."""
    data, roles, params, sample = fit.data, fit.roles, fit.params, fit.sample
    target = int(roles.targets[0])
    target_samples = fit.rows_in_memory(sample[data.labels[sample] == target])
    trainer = TspgTrainer(
        TargetDistribution(target_samples.all(), recipe.shrinkage),
        fit.fabric.to_device(fit.classifier_to_convince.network()),
        target,
        n_genes=target_samples.n_genes,
        options=recipe,
        seed=spawn_seeds(params["seed"]).tspg,
        fabric=fit.fabric,
    )
    rows = real = fit.rows_in_memory(np.intersect1d(sample, roles.train))
    if len(roles.real) != len(roles.train):
        real = fit.rows_in_memory(np.intersect1d(sample, roles.real))
    return train_tspg(
        trainer,
        rows,
        real,
        fit.scaled_rows(roles.held_out),
        checkpoint=fit.checkpoint,
        description=fit.description,
        progress_bar=fit.progress_bar,
    )


def _train_transport(fit: Fit, recipe: Transport) -> tuple[nn.Module, list[Record]]:
    """Recipe "transport": a correction to Gaussian transport, for one target or many."""
    data, roles, params, device = fit.data, fit.roles, fit.params, fit.fabric.device
    seed = spawn_seeds(params["seed"]).tspg

    def samples(rows: ScaledRows, positions: np.ndarray) -> Samples:
        return Samples(rows, torch.from_numpy(data.labels[positions]).to(device))

    sample, n_train = fit.sample, int(data.is_train.sum())
    train = samples(fit.rows_in_memory(sample), sample)
    targets = torch.from_numpy(roles.targets)
    classifier = classifier_to_convince = fit.fabric.to_device(fit.classifier.network())
    if fit.classifier_to_convince is not fit.classifier:
        classifier_to_convince = fit.fabric.to_device(fit.classifier_to_convince.network())
    is_source = torch.from_numpy(np.isin(sample, roles.train)).to(device)
    is_validation = torch.from_numpy(_choose_validation(data.labels[sample], seed)).to(device)

    def transport_of(samples: Samples, statistics: ClassStatistics | None = None) -> Estimates:
        return estimate_transport(
            samples, len(data.classes), targets.to(device), seed, statistics=statistics
        )

    trainer = TransportTrainer(
        # Validation samples are not part of the estimates.
        transport_of(train.at(torch.nonzero(~is_validation).flatten())),
        classifier,
        classifier_to_convince,
        train,
        targets,
        options=recipe,
        seed=seed,
        fabric=fit.fabric,
    )
    measured = roles.held_out[:: max(1, -(-len(roles.held_out) // MAX_MEASURED))]
    network, history = train_transport(
        trainer,
        make_pools(train.labels, targets.to(device), is_source, ~is_validation),
        make_pools(train.labels, targets.to(device), is_source, is_validation),
        samples(fit.rows_in_memory(measured), measured),
        checkpoint=fit.checkpoint,
        description=fit.description,
        progress_bar=fit.progress_bar,
    )
    del trainer  # its optimiser and averages need more memory than the estimates
    network.set_transport(transport_of(train, None if len(sample) == n_train else fit.statistics()))
    return network, history


def _choose_validation(labels: np.ndarray, seed: int) -> np.ndarray:
    """Boolean mask of a random share of each class, rounded down."""
    rng = np.random.default_rng(seed)
    is_validation = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        is_validation[rng.permutation(members)[: int(VALIDATION_SHARE * len(members))]] = True
    return is_validation


def train_recipe(fit: Fit) -> tuple[nn.Module, list[Record]]:
    """Train the generator; return it with its history."""
    if isinstance(fit.recipe, Paper):
        return _train_paper(fit, fit.recipe)
    return _train_transport(fit, fit.recipe)


def fit_generator(fit: Fit) -> tuple[PerturbationModel, pd.DataFrame]:
    """Train the generator; returns the model and its history, a row an epoch."""
    network, history = train_recipe(fit)
    means = fit.data.summary.means[fit.roles.targets]
    model = PerturbationModel(fit.classifier, means, to_arrays(network), fit.params)
    return model, history_frame(history)


def check_targets(recipe: str, n_targets: int) -> None:
    """Raise ValueError if the recipe does not support so many targets."""
    if recipe == PAPER and n_targets > 1:
        msg = f"recipe={PAPER!r} has one target, not {n_targets}. Use recipe={TRANSPORT!r}."
        raise ValueError(msg)
