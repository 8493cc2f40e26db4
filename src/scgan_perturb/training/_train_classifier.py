"""Train the classifier f."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from ..engine._processes import part
from ..engine._shares import mean_of_all, share, share_of_hits
from ..networks._networks import Classifier, initialise
from ._checkpoint import Record, load_module, load_optimizer, module_state, optimizer_state
from ._epochs import HELD_ROWS, run_epochs, shuffled_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning_fabric import Fabric
    from torch import nn

    from ..data._rows import ScaledRows
    from ._checkpoint import Checkpoint, State

LEARNING_RATE = 1e-3  # paper, section 2.2


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
    """

    def __init__(self, n_genes: int, n_classes: int, *, seed: int, fabric: Fabric) -> None:
        with torch.device("meta"):
            self.network = Classifier(n_genes, n_classes)
        initialise(self.network, seed)
        self.fabric = fabric
        self.rng = torch.Generator(fabric.device).manual_seed(seed)
        self._adam = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, fused=True)
        self.model, self.optimizer = fabric.setup(self.network, self._adam)

    def step(self, x: torch.Tensor, labels: torch.Tensor, weight: float = 1.0) -> torch.Tensor:
        """Update f on one batch, or on a share of it with this weight; return the loss."""
        loss = weight * cross_entropy(self.model(x), labels)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def state(self) -> State:
        """All tensors that change in training."""
        return {
            **module_state("network", self.network),
            **optimizer_state("optimizer", self._adam),
            "rng": self.rng.get_state(),
        }

    def load(self, state: State) -> None:
        """Restore a state."""
        load_module("network", self.network, state)
        load_optimizer("optimizer", self._adam, state)
        self.rng.set_state(state["rng"])


def train_classifier(
    trainer: ClassifierTrainer,
    rows: ScaledRows,
    labels: torch.Tensor,
    *,
    held_out: tuple[ScaledRows, torch.Tensor],
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
    rows, labels
        Training samples and the positions of their classes.
    held_out
        Held-out samples and their classes, measured after each epoch.
    max_epochs, batch_size
        Length of training, samples a step at most.
    checkpoint
        Checkpoint to write and to resume from, if any.
    progress_bar
        Whether to show progress.

    Returns
    -------
    The network, and for each epoch its mean loss and held-out accuracy.
    """
    fabric = trainer.fabric
    labels = labels.to(fabric.device)

    def hold(batches: torch.Tensor) -> None:
        rows.hold(batches[:, share(fabric, batches.shape[1]).rows].flatten())

    def run_epoch() -> Record:
        total, n_steps = torch.zeros((), device=fabric.device), 0
        for index in shuffled_batches(len(rows), batch_size, trainer.rng, hold):
            local = share(fabric, len(index))
            local_index = index[local.rows]
            total += trainer.step(rows[local_index], labels[local_index], local.weight)
            n_steps += 1
        return {
            "loss": mean_of_all(fabric, total).item() / n_steps,
            "held_out_accuracy": _accuracy(trainer, *held_out, batch_size),
        }

    history = run_epochs(
        run_epoch,
        max_epochs,
        trainer=trainer,
        checkpoint=checkpoint,
        description="classifier",
        progress_bar=progress_bar,
    )
    return trainer.network.eval(), history


@torch.inference_mode()
def _accuracy(
    trainer: ClassifierTrainer, rows: ScaledRows, labels: torch.Tensor, batch_size: int
) -> float:
    """Share of the rows whose class is predicted; NaN without rows."""
    local_index = torch.arange(len(rows))[part(trainer.fabric, len(rows))]

    def hits() -> Iterator[torch.Tensor]:
        for index_in_memory in local_index.split(HELD_ROWS):
            rows.hold(index_in_memory)
            for index in index_in_memory.split(batch_size):
                if len(index):
                    yield trainer.network(rows[index]).argmax(dim=1).cpu() == labels[index]

    return share_of_hits(trainer.fabric, hits())
