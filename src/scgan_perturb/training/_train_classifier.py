"""Train the classifier f."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from .._keys import ACCURACY, CALIBRATION_ERROR, VALIDATION_LOSS
from ..engine._processes import part
from ..engine._shares import gather, mean_of_all, share, sum_of_all
from ..engine._threads import threads_for
from ..networks._calibration import N_BINS, accuracy_and_error, confidence_sums, find_temperature
from ..networks._networks import Classifier, flops_of_step, initialise
from ._checkpoint import Record, load_module, load_optimizer, module_state, optimizer_state
from ._early_stopping import best_epoch, has_learnt
from ._epochs import HELD_ROWS, count_batches, run_epochs, shuffled_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning_fabric import Fabric
    from torch import nn

    from ..data._rows import ScaledRows
    from ._checkpoint import Checkpoint, State

LEARNING_RATE = 1e-3  # paper, section 2.2
AVERAGED_DECAY = 0.95  # of the mean of weights over steps; docs/method.md
TEMPERATURE = "temperature"


class LabelledRows(NamedTuple):
    """Samples and the positions of their classes, on the CPU."""

    rows: ScaledRows
    labels: torch.Tensor


class ClassifierTrainer:
    """The network f, its optimiser and one training step (cross-entropy; paper, section 2.2).

    Parameters
    ----------
    n_genes, n_classes
        Shape of the network.
    seed
        Seed of initial weights and order of the samples.
    fabric
        The device.
    averages
        Whether f has the mean of the weights over the last steps, not those of the last step.
    """

    def __init__(
        self,
        n_genes: int,
        n_classes: int,
        *,
        seed: int,
        fabric: Fabric,
        averages: bool = False,
    ) -> None:
        with torch.device("meta"):
            self.network = Classifier(n_genes, n_classes)
        initialise(self.network, seed)
        self.fabric, self.n_classes = fabric, n_classes
        self.rng = torch.Generator(fabric.device).manual_seed(seed)
        self._adam = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, fused=True)
        self.model, self.optimizer = fabric.setup(self.network, self._adam)
        self.n_steps = 0
        self.f = copy.deepcopy(self.network).requires_grad_(False) if averages else self.network
        self._best: State = {"best_loss": torch.tensor(torch.inf, dtype=torch.float64)}

    def step(self, x: torch.Tensor, labels: torch.Tensor, weight: float = 1.0) -> torch.Tensor:
        """Update f on one batch, or on a share of it with this weight; return the loss."""
        loss = weight * cross_entropy(self.model(x), labels)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        if self.f is not self.network:
            self._average()
        return loss.detach()

    @torch.no_grad()
    def _average(self) -> None:
        """Take the present weights into the mean; it follows the first steps closely."""
        self.n_steps += 1
        decay = min(AVERAGED_DECAY, self.n_steps / (self.n_steps + 9))
        torch._foreach_lerp_(list(self.f.parameters()), list(self.network.parameters()), 1 - decay)

    def keep_best(self, loss: float) -> None:
        """Keep the present weights if no validation loss was lower than this."""
        if loss < self._best["best_loss"]:
            weights = module_state("best", self.f)
            self._best = {name: tensor.clone() for name, tensor in weights.items()}
            self._best["best_loss"] = torch.tensor(loss, dtype=torch.float64)

    @torch.no_grad()
    def use_best(self, temperature: float) -> None:
        """Go back to the best weights, with logits divided by the temperature."""
        load_module("best", self.f, self._best)
        for weight in self.f[-1].parameters():
            weight.div_(temperature)

    def state(self) -> State:
        """All tensors that change in training."""
        state = {
            **module_state("network", self.network),
            **optimizer_state("optimizer", self._adam),
            "rng": self.rng.get_state(),
        }
        if self.f is not self.network:
            state |= {**module_state("averaged", self.f), **self._best}
            state["n_steps"] = torch.tensor(self.n_steps)
        return state

    def load(self, state: State) -> None:
        """Restore a state."""
        load_module("network", self.network, state)
        load_optimizer("optimizer", self._adam, state)
        self.rng.set_state(state["rng"])
        if self.f is not self.network:
            load_module("averaged", self.f, state)
            self._best = {name: state[name] for name in state if name.startswith("best")}
            self.n_steps = int(state["n_steps"])


def train_classifier(
    trainer: ClassifierTrainer,
    train: LabelledRows,
    *,
    validation: LabelledRows | None = None,
    held_out: LabelledRows,
    max_epochs: int,
    batch_size: int,
    checkpoint: Checkpoint | None = None,
    progress_bar: bool,
) -> tuple[nn.Module, list[Record]]:
    """Train f.

    Parameters
    ----------
    trainer
        Network and step.
    train
        Training samples.
    validation
        Samples that say when f has learnt and how sure it may be; None to train all epochs and
        leave f as sure as it is.
    held_out
        Held-out samples, measured after each epoch.
    max_epochs, batch_size
        Length of training at most, samples a step at most.
    checkpoint
        Checkpoint to write and to resume from, if any.
    progress_bar
        Whether to show progress.

    Returns
    -------
    The network, and for each epoch its losses, held-out accuracy and calibration error.
    """
    train = train._replace(labels=train.labels.to(trainer.fabric.device))
    n_steps = count_batches(len(train.rows), batch_size)

    def run_epoch() -> Record:
        record = {"loss": _run_steps(trainer, train, batch_size)}
        if validation is not None:
            record |= _validate(trainer, validation, batch_size)
            trainer.keep_best(record[VALIDATION_LOSS])
        return record | _measure(trainer, held_out, batch_size, record.get(TEMPERATURE, 1.0))

    with threads_for(flops_of_step(trainer.network, batch_size)):
        history = run_epochs(
            run_epoch,
            max_epochs,
            trainer=trainer,
            checkpoint=checkpoint,
            description="classifier",
            progress_bar=progress_bar,
            is_done=lambda history: validation is not None and has_learnt(history, n_steps),
        )
    if validation is not None:
        trainer.use_best(history[best_epoch(history)][TEMPERATURE])
    return trainer.f.eval(), history


def _run_steps(trainer: ClassifierTrainer, train: LabelledRows, batch_size: int) -> float:
    """The mean loss of an epoch of steps."""
    fabric, (rows, labels) = trainer.fabric, train

    def hold(batches: torch.Tensor) -> None:
        rows.hold(batches[:, share(fabric, batches.shape[1]).rows].flatten())

    total, n_steps = torch.zeros((), device=fabric.device), 0
    for index in shuffled_batches(len(rows), batch_size, trainer.rng, hold):
        local = share(fabric, len(index))
        local_index = index[local.rows]
        total += trainer.step(rows[local_index], labels[local_index], local.weight)
        n_steps += 1
    return mean_of_all(fabric, total).item() / n_steps


@torch.inference_mode()
def _validate(trainer: ClassifierTrainer, samples: LabelledRows, batch_size: int) -> Record:
    """The temperature that validation samples ask for, and their loss with it."""
    parts = [logits for _, logits in _logits(trainer, samples.rows, batch_size)]
    none = torch.empty(0, trainer.n_classes, device=trainer.fabric.device)
    local = torch.cat([none, *parts])
    logits = gather(trainer.fabric, local, len(samples.labels))
    # All processes have to stop together.
    temperature, loss = trainer.fabric.broadcast(find_temperature(logits, samples.labels))
    return {VALIDATION_LOSS: loss, TEMPERATURE: temperature}


@torch.inference_mode()
def _measure(
    trainer: ClassifierTrainer, samples: LabelledRows, batch_size: int, temperature: float
) -> Record:
    """Accuracy and calibration error; NaN without samples."""
    sums = torch.zeros(3, N_BINS, device=trainer.fabric.device)
    for index, logits in _logits(trainer, samples.rows, batch_size):
        sums += confidence_sums(logits / temperature, samples.labels[index].to(sums.device))
    accuracy, error = accuracy_and_error(sum_of_all(trainer.fabric, sums))
    return {ACCURACY: accuracy, CALIBRATION_ERROR: error}


def _logits(
    trainer: ClassifierTrainer, rows: ScaledRows, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Positions and logits of this process's part of the samples, a batch at a time."""
    local_index = torch.arange(len(rows))[part(trainer.fabric, len(rows))]
    for index_in_memory in local_index.split(HELD_ROWS):
        rows.hold(index_in_memory)
        for index in index_in_memory.split(batch_size):
            if len(index):
                yield index, trainer.f(rows[index])
