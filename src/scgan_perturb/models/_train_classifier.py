"""Training of the target model f."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from ._epochs import Record, run_epochs, shuffled_batches
from ._networks import Classifier, initialise

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from ..data._rows import ScaledRows

LEARNING_RATE = 1e-3  # paper, section 2.2


def train_classifier(
    rows: ScaledRows,
    labels: torch.Tensor,
    n_classes: int,
    *,
    held_out: tuple[ScaledRows, torch.Tensor],
    max_epochs: int,
    batch_size: int,
    seed: int,
    fabric: Fabric,
    progress_bar: bool,
) -> tuple[nn.Module, list[Record]]:
    """Train f with cross-entropy (paper, section 2.2).

    Parameters
    ----------
    rows, labels
        Training samples and the positions of their classes.
    n_classes
        Number of classes.
    held_out
        Samples that do not train, and their classes, measured after each epoch.
    max_epochs, batch_size, seed
        Length of training, samples a step at most, seed of weights and order.
    fabric
        The device.
    progress_bar
        Whether to show progress.

    Returns
    -------
    The network, and for each epoch its mean loss and held-out accuracy.
    """
    with torch.device("meta"):
        network = Classifier(rows.n_genes, n_classes)
    initialise(network, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    model, optimizer = fabric.setup(network, optimizer)
    rng = torch.Generator(fabric.device).manual_seed(seed)
    labels = labels.to(fabric.device)

    def run_epoch() -> Record:
        total, n_steps = torch.zeros((), device=fabric.device), 0
        for index in shuffled_batches(len(rows), batch_size, rng):
            loss = cross_entropy(model(rows[index]), labels[index])
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            total, n_steps = total + loss.detach(), n_steps + 1
        return {
            "loss": total.item() / n_steps,
            "held_out_accuracy": _accuracy(model, *held_out, batch_size),
        }

    history = run_epochs(run_epoch, max_epochs, description="classifier", progress_bar=progress_bar)
    return network.eval(), history


@torch.inference_mode()
def _accuracy(network: nn.Module, rows: ScaledRows, labels: torch.Tensor, batch_size: int) -> float:
    """Share of the rows whose class is predicted; NaN without rows."""
    correct = [
        network(rows[index]).argmax(dim=1).cpu() == labels[index]
        for index in torch.arange(len(rows)).split(batch_size)
        if len(index)
    ]
    return torch.cat(correct).float().mean().item() if correct else float("nan")
