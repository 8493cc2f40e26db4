"""Train the generator of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from .._recipes import PAPER, TRANSPORT, Paper
from .._seeds import spawn_seeds
from .._settings import settings
from ..data._counts import CHECKED_ROWS
from ..data._levels import NO_LEVELS, levels_of
from ..data._rows import ScaledRows
from ..data._split import stratified_sample
from ..engine._threads import threads_for
from ..estimates._latent_fit import flops_of_estimates
from ..estimates._lattice import estimate_lattice
from ..estimates._samples import Samples
from ..estimates._target import TargetDistribution
from ..estimates._transport import estimate_transport
from ..models._perturbation_model import PerturbationModel
from ..networks._counted import CountedRows
from ..networks._draws import keys_of
from ..networks._networks import to_arrays
from ..networks._transport_generator import TransportGenerator
from ._epochs import HELD_ROWS
from ._fit_classifier import history_frame
from ._run import open_checkpoint, weights_digest
from ._train_tspg import TspgTrainer, train_tspg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from lightning_fabric import Fabric
    from torch import nn

    from .._recipes import Transport
    from ..data._training_data import TrainingData
    from ..models._fitted_classifier import FittedClassifier
    from ..models._module_classifier import ModuleClassifier
    from ._checkpoint import Checkpoint, Record
    from ._roles import Roles

MAX_MEASURED = 512  # held-out samples in the success of recipe "transport", at most
MAX_GATED = 1024  # training samples that choose the genes of a sparse fit, at most


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
        """Positions of the training samples of a fit, the same for every kind of storage."""
        train = np.flatnonzero(self.data.is_train)
        seed = spawn_seeds(self.params["seed"]).tspg
        return train[stratified_sample(self.data.groups[train], HELD_ROWS, seed=seed)]

    def scaled_rows(self, rows: np.ndarray) -> ScaledRows:
        """Samples as input of a network."""
        return ScaledRows(self.data.expression, rows, self.data.scaler, self.fabric.device)

    def rows_in_memory(self, rows: np.ndarray) -> ScaledRows:
        """Samples as input of a network, read into memory."""
        scaled = self.scaled_rows(rows)
        scaled.hold(torch.arange(len(rows)))
        return scaled

    @property
    def progress_bar(self) -> bool:
        """Whether this process shows progress."""
        return settings.progress_bar and self.fabric.is_global_zero

    @property
    def description(self) -> str:
        """Text before the progress bar."""
        targets = self.data.classes[self.roles.targets]
        return f"to {targets[0]}" if len(targets) == 1 else f"to {len(targets)} targets"


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


def _estimate_transport(fit: Fit, recipe: Transport) -> nn.Module:
    """Recipe "transport": the distributions of all classes; nothing is trained."""
    data, device = fit.data, fit.fabric.device
    sample, seed = fit.sample, spawn_seeds(fit.params["seed"]).tspg
    groups = torch.from_numpy(data.groups[sample]).to(device)
    train, log_range = Samples(fit.rows_in_memory(sample), groups), None
    if data.are_logged_counts:
        ends = np.stack([data.scaler.minimum, data.scaler.maximum])
        log_range = torch.from_numpy(ends[:, data.scaler.varying]).to(device)
    n_classes, n_contexts = len(data.classes), data.n_contexts
    with torch.no_grad(), threads_for(flops_of_estimates(train.rows.n_genes, len(sample))):
        lattice = estimate_lattice(train, n_classes * n_contexts, n_contexts, log_range)
        seen = train if log_range is None else Samples(CountedRows(train.rows, lattice), groups)
        transport = estimate_transport(seen, lattice, n_classes, seed, n_contexts)
    levels = torch.from_numpy(_levels(fit))
    with torch.device("meta"):
        generator = TransportGenerator(
            train.rows.n_genes,
            n_classes,
            len(fit.roles.targets),
            transport.latent.presence.shape[1],
            n_contexts,
            len(levels),
        )
    generator.to_empty(device=device)
    generator.set_up(transport, torch.from_numpy(fit.roles.targets), levels)
    if recipe.sparsity:
        _close_gates(generator, train, recipe.sparsity, seed)
    return generator


def _levels(fit: Fit) -> np.ndarray:
    """The values that some training samples have, if these are few, and neither counts nor logged ones."""
    if fit.data.units:
        return NO_LEVELS
    return levels_of(fit.data.expression[fit.sample[:: -(-len(fit.sample) // CHECKED_ROWS)]])


@torch.no_grad()
def _close_gates(generator: TransportGenerator, train: Samples, sparsity: float, seed: int) -> None:
    """Close the gates of a share of the genes: those that the transport changes least."""
    n_shut = int(sparsity * generator.gate.shape[1])
    chosen = stratified_sample(train.labels.cpu().numpy(), MAX_GATED, seed=seed)
    index = torch.from_numpy(chosen).to(train.labels.device)
    x, labels = train.rows[index], train.labels[index]
    for target in range(len(generator.targets)):
        prepared = generator.prepare(target)
        sources = labels != prepared.destination[labels]
        encoded = generator.encode(prepared, x[sources], labels[sources], keys_of(x[sources]))
        change = generator(prepared, encoded, seed, 0)[0] - x[sources]
        generator.gate[target, change.square().mean(dim=0).argsort()[:n_shut]] = 0


def fit_generator(fit: Fit) -> tuple[PerturbationModel, pd.DataFrame]:
    """Fit the generator; returns the model and its history.

    The history has a row an epoch; of recipe "transport", which trains nothing, one row.
    """
    if isinstance(fit.recipe, Paper):
        network, history = _train_paper(fit, fit.recipe)
    else:
        network, history = _estimate_transport(fit, fit.recipe), []
    weights = fit.fabric.broadcast(to_arrays(network))
    means = fit.data.summary.means[fit.roles.targets]
    model = PerturbationModel(fit.classifier, means, weights, fit.params | fit.data.units)
    return model, history_frame(history or [{"held_out_success": _held_out_success(fit, model)}])


def _held_out_success(fit: Fit, model: PerturbationModel) -> float:
    """Share of perturbed held-out samples that the classifier calls their target; NaN of none."""
    rows = fit.roles.held_out
    rows = rows[:: max(1, -(-len(rows) // MAX_MEASURED))]
    hits: list[np.ndarray] = []
    for position, target in enumerate(fit.roles.targets):
        part = rows[position :: len(fit.roles.targets)]
        part = part[fit.data.labels[part] != target]
        if len(part) == 0:
            continue
        towards = model.towards(model.targets[position])
        for block in towards.perturb_blocks(
            fit.data.expression[part],
            fit.data.context_codes[part],
            accelerator=fit.fabric.device,
            classifier=fit.classifier_to_convince,
        ):
            hits.append(block.probabilities.argmax(axis=1) == target)  # noqa: PERF401
    return float(np.concatenate(hits).mean()) if hits else float("nan")


def check_targets(recipe: str, n_targets: int) -> None:
    """Raise ValueError if the recipe does not support so many targets."""
    if recipe == PAPER and n_targets > 1:
        msg = f"recipe={PAPER!r} has one target, not {n_targets}. Use recipe={TRANSPORT!r}."
        raise ValueError(msg)


def check_context(recipe: str, context: Sequence[str]) -> None:
    """Raise ValueError if the recipe does not support contexts."""
    if recipe == PAPER and context:
        msg = f"recipe={PAPER!r} knows no context. Use recipe={TRANSPORT!r}."
        raise ValueError(msg)
