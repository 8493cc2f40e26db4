"""Train the correction to Gaussian transport, for one target or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..engine._shares import mean_of_all
from ._epochs import check_losses, run_epochs
from ._transport_trainer import LOSS_NAMES, TransportTrainer, schedule

if TYPE_CHECKING:
    from ..estimates._samples import Samples
    from ..networks._transport_generator import TransportGenerator
    from ._checkpoint import Checkpoint, Record
    from ._pools import Pools


def train_transport(
    trainer: TransportTrainer,
    train: Pools,
    validation: Pools,
    held_out: Samples,
    *,
    checkpoint: Checkpoint | None = None,
    description: str,
    progress_bar: bool,
) -> tuple[TransportGenerator, list[Record]]:
    """Train the correction; keep the weights of the epoch with the lowest validation loss.

    Parameters
    ----------
    trainer
        Network and step.
    train, validation
        Training samples for gradients, and for the choice of the epoch.
    held_out
        Held-out samples, measured after each epoch.
    checkpoint
        Checkpoint to write and to resume from, if any.
    description
        Text before the progress bar.
    progress_bar
        Whether to show progress.

    Returns
    -------
    The generator, and for each epoch the mean of each loss, the validation loss and the held-out
    success.

    Raises
    ------
    FloatingPointError
        If a loss is NaN or infinite.
    """
    n_steps, n_epochs = schedule(trainer)
    batches = trainer.draw_all(validation)
    options = trainer.options

    @torch.inference_mode()
    def validate() -> float:
        losses = [trainer.losses(*batch, trainer.averaged) for batch in batches]
        _, adv, _, energy = mean_of_all(trainer.fabric, torch.stack(losses).mean(dim=0))
        # Without L_td, which is lowest before training.
        return (options.weight_adv * adv + options.weight_energy * energy).item()

    untrained = validate()
    # No later loss is below NaN: the untrained generator would be returned without an error.
    check_losses({"loss_validation": untrained}, "before the first epoch")
    trainer.keep_if_best(untrained)

    def run_epoch() -> Record:
        total = torch.zeros(len(LOSS_NAMES), device=trainer.fabric.device)
        for _ in range(n_steps):
            total += trainer.step(train)
        loss = validate()
        trainer.keep_if_best(loss)
        means = mean_of_all(trainer.fabric, total / n_steps)
        return {
            **dict(zip(LOSS_NAMES, means.tolist(), strict=True)),
            "loss_validation": loss,
            "held_out_success": trainer.success(held_out),
        }

    # No early stop: the validation loss falls late, with the learning rate.
    history = run_epochs(
        run_epoch,
        n_epochs,
        trainer=trainer,
        checkpoint=checkpoint,
        description=description,
        progress_bar=progress_bar,
    )
    return trainer.best.eval(), history
